/** A picture with circles or boxes on it that are dragged to size; sliders beside it do the same from the keyboard. */

import { useRef, type ReactNode } from "react";
import type { Picture } from "../../api/schema";

export interface Shape {
  kind: "circle" | "box";
  /** Px of the picture: half of what is measured. */
  radius: number;
  tone: "first" | "second" | "faint";
  /** Follows the pointer; none: it stands as it is. */
  onRadius?: (radius: number) => void;
  centre?: readonly [number, number];
}

interface Props {
  picture: Picture;
  /** What it shows, for those who do not see it. */
  label: string;
  shapes: readonly Shape[];
  /** Where shapes without a centre of their own stand; by default in the middle. */
  centre?: readonly [number, number];
  onCentre?: (centre: readonly [number, number]) => void;
  children?: ReactNode;
}

const distance = (shape: Shape, dx: number, dy: number) => (shape.kind === "box" ? Math.max(Math.abs(dx), Math.abs(dy)) : Math.hypot(dx, dy));

export function Measure({ picture, label, shapes, centre, onCentre, children }: Props) {
  const { width, height } = picture;
  const middle = centre ?? ([Math.floor(width / 2) + 0.5, Math.floor(height / 2) + 0.5] as const);
  const held = useRef<number | null>(null);
  const at = (event: React.PointerEvent<SVGSVGElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height] as const;
  };
  const move = (event: React.PointerEvent<SVGSVGElement>) => {
    const [x, y] = at(event);
    const shape = held.current === null ? undefined : shapes[held.current];
    if (shape) shape.onRadius?.(Math.max(1, distance(shape, x - middle[0], y - middle[1])));
    else onCentre?.([x, y]);
  };
  const down = (event: React.PointerEvent<SVGSVGElement>) => {
    const [x, y] = at(event);
    const near = shapes
      .map((shape, number) => ({ number, off: shape.onRadius ? Math.abs(distance(shape, x - middle[0], y - middle[1]) - shape.radius) : Infinity }))
      .sort((one, other) => one.off - other.off)[0];
    // Where things can be moved, only their border sizes them.
    const reach = onCentre ? width / 40 : Infinity;
    held.current = near && near.off < reach ? near.number : null;
    event.currentTarget.setPointerCapture(event.pointerId);
    move(event);
  };
  return (
    <div className="measure">
      <svg
        viewBox={`0 0 ${width} ${height}`}
        role="img"
        aria-label={label}
        onPointerDown={down}
        onPointerMove={(event) => event.currentTarget.hasPointerCapture(event.pointerId) && move(event)}
      >
        <image href={picture.address} width={width} height={height} preserveAspectRatio="none" />
        {shapes.map(({ kind, radius, tone, centre: own }, number) => {
          const [x, y] = own ?? middle;
          return kind === "circle" ? (
            <circle key={number} className={tone} cx={x} cy={y} r={radius} />
          ) : (
            <rect key={number} className={tone} x={x - radius} y={y - radius} width={2 * radius} height={2 * radius} />
          );
        })}
      </svg>
      {children}
    </div>
  );
}
