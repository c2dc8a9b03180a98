/** A large image that can be moved and zoomed by mouse, touch and keyboard, with something drawn over it. */

import { useEffect, useImperativeHandle, useRef, useState, type ReactNode, type Ref } from "react";
import type { ImageSource } from "../api/images";
import { Failed } from "../ui/Feedback";
import { Icon } from "../ui/Icon";
import { Image2d } from "./image2d";
import type { Contrast } from "./painter";
import { scaleBar, type Point } from "./view";
import "./image.css";

/** What follows the pointer from where it was pressed; `end` is told whether it has moved. */
export interface Drag {
  move(place: Point): void;
  end(place: Point): void;
}

export interface Pointed {
  shift: boolean;
  /** Image px that are 1 px of the screen. */
  unit: number;
}

interface Props {
  source: ImageSource;
  label: string;
  contrast: Contrast;
  lowpass: number;
  /** Draws over the image, in screen px; `at` says where a place of the image is. */
  overlay: (context: CanvasRenderingContext2D, image: Image2d) => void;
  /** What happens where the pointer goes down: a drag of something, or nothing, and the image is moved. */
  onPress?: (place: Point, pointed: Pointed) => Drag | null;
  onClick?: (place: Point, pointed: Pointed) => void;
  onHover?: (place: Point | null) => void;
  /** Returns whether the key was of use; if not it moves the image. */
  onKey?: (event: React.KeyboardEvent, image: Image2d) => boolean;
  children?: ReactNode;
  ref?: Ref<Image2d | null>;
}

/** Screen px that a pointer may move and still have clicked. */
const CLICK = 4;
const STEP = 60;

export function ImageCanvas({ source, label, contrast, lowpass, overlay, onPress, onClick, onHover, onKey, children, ref }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const below = useRef<HTMLCanvasElement>(null);
  const above = useRef<HTMLCanvasElement>(null);
  const image = useRef<Image2d | null>(null);
  const drawn = useRef(overlay);
  drawn.current = overlay;
  const [error, setError] = useState<unknown>(null);
  const [detail, setDetail] = useState({ binning: 0, loading: true });
  const [plain, setPlain] = useState(false);
  const shown = useRef(source);
  shown.current = source;

  useEffect(() => {
    const [canvas, over, around] = [below.current, above.current, box.current];
    if (!canvas || !over || !around) return;
    const made = new Image2d(canvas, {
      onDraw: () => drawOver(over, made, shown.current, drawn.current),
      onDetail: (binning, loading) => setDetail((before) => (before.binning === binning && before.loading === loading ? before : { binning, loading })),
      onError: setError,
    });
    image.current = made;
    setPlain(made.painter.kind === "2d");
    const sizes = new ResizeObserver(() => {
      over.width = Math.round(around.clientWidth * devicePixelRatio);
      over.height = Math.round(around.clientHeight * devicePixelRatio);
      made.resize(around.clientWidth, around.clientHeight);
    });
    sizes.observe(around);
    const onWheel = (event: WheelEvent) => {
      event.preventDefault(); // React's own listener may not
      const edge = around.getBoundingClientRect();
      made.zoom(1.0015 ** -event.deltaY, { x: event.clientX - edge.left, y: event.clientY - edge.top });
    };
    around.addEventListener("wheel", onWheel, { passive: false });
    return () => {
      sizes.disconnect();
      around.removeEventListener("wheel", onWheel);
      made.dispose();
      image.current = null;
    };
  }, []);
  useImperativeHandle(ref, () => image.current as Image2d);
  useEffect(() => {
    setError(null);
    image.current?.show(source);
  }, [source]);
  useEffect(() => image.current?.setContrast(contrast), [contrast]);
  useEffect(() => image.current?.setLowpass(lowpass), [lowpass]);
  useEffect(() => image.current?.redrawOver(), [overlay]);
  const pointer = usePointer(image, { onPress, onClick, onHover });

  const keys = (event: React.KeyboardEvent) => {
    const made = image.current;
    if (!made || event.target !== event.currentTarget || event.defaultPrevented) return;
    if (onKey?.(event, made) || (!event.ctrlKey && !event.metaKey && !event.altKey && moveByKey(event.key, made))) event.preventDefault();
  };
  return (
    <div className="image-canvas" aria-busy={detail.loading && !error} data-binning={detail.binning}>
      <div ref={box} className="image-surface" role="application" aria-label={label} tabIndex={0} onKeyDown={keys} {...pointer}>
        <canvas ref={below} />
        <canvas ref={above} />
      </div>
      {children}
      <div className="image-tools row" role="group" aria-label="Zoom">
        <button type="button" className="button" aria-label="Zoom in" title="Zoom in (+)" onClick={() => image.current?.zoom(1.5)}>
          <Icon name="plus" />
        </button>
        <button type="button" className="button" aria-label="Zoom out" title="Zoom out (-)" onClick={() => image.current?.zoom(1 / 1.5)}>
          <Icon name="minus" />
        </button>
        <button type="button" className="button" title="Show all of it (0)" onClick={() => image.current?.fit()}>
          Fit
        </button>
        <button type="button" className="button" title="One px of the image a px of the screen (1)" onClick={() => image.current?.actualSize()}>
          1:1
        </button>
      </div>
      {plain && <p className="image-note notice advice">This browser has no WebGL 2: the picture is drawn without it, more slowly.</p>}
      {error !== null && (
        <div className="image-note">
          <Failed error={error} retry={() => (setError(null), image.current?.retry())} />
        </div>
      )}
    </div>
  );
}

function moveByKey(key: string, image: Image2d): boolean {
  const act: Record<string, () => void> = {
    "+": () => image.zoom(1.25), "=": () => image.zoom(1.25), "-": () => image.zoom(0.8),
    "0": () => image.fit(), "1": () => image.actualSize(),
    ArrowLeft: () => image.pan(STEP, 0), ArrowRight: () => image.pan(-STEP, 0), ArrowUp: () => image.pan(0, STEP), ArrowDown: () => image.pan(0, -STEP),
  };
  act[key]?.();
  return key in act;
}

function drawOver(canvas: HTMLCanvasElement, image: Image2d, source: ImageSource, overlay: Props["overlay"]): void {
  const context = canvas.getContext("2d");
  if (!context) return;
  const { width, height } = image.screen;
  const ratio = canvas.width / Math.max(width, 1);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  overlay(context, image);
  const bar = scaleBar(image.view.scale, source.pixelSize);
  context.fillStyle = "rgb(0 0 0 / 65%)";
  context.fillRect(12, height - 42, bar.length + 20, 32);
  context.fillStyle = "#fff";
  context.fillRect(22, height - 18, bar.length, 3);
  context.font = "600 12px system-ui, sans-serif";
  context.fillText(bar.text, 22, height - 24);
}

type Handlers = Pick<Props, "onPress" | "onClick" | "onHover">;

/** Pointer events as presses, clicks and drags of places; two fingers zoom. */
function usePointer(image: React.RefObject<Image2d | null>, handlers: Handlers) {
  const state = useRef({ touches: new Map<number, Point>(), drag: null as Drag | null, start: null as Point | null, moved: false, tool: true });
  const placeOf = (event: React.PointerEvent): Point => {
    const edge = event.currentTarget.getBoundingClientRect();
    return { x: event.clientX - edge.left, y: event.clientY - edge.top };
  };
  const pointed = (event: React.PointerEvent, made: Image2d): Pointed => ({ shift: event.shiftKey, unit: 1 / made.view.scale });
  return {
    onPointerDown(event: React.PointerEvent) {
      const made = image.current;
      if (!made) return;
      event.currentTarget.setPointerCapture(event.pointerId);
      const now = state.current;
      const place = placeOf(event);
      now.touches.set(event.pointerId, place);
      Object.assign(now, { start: place, moved: now.touches.size > 1, tool: event.button === 0 });
      now.drag = now.tool && now.touches.size === 1 ? (handlers.onPress?.(made.toImage(place), pointed(event, made)) ?? null) : null;
    },
    onPointerMove(event: React.PointerEvent) {
      const made = image.current;
      if (!made) return;
      const now = state.current;
      const place = placeOf(event);
      handlers.onHover?.(made.toImage(place));
      const before = now.touches.get(event.pointerId);
      if (!before || !now.start) return;
      if (Math.hypot(place.x - now.start.x, place.y - now.start.y) > CLICK) now.moved = true;
      if (now.touches.size === 2) {
        const other = [...now.touches].find(([id]) => id !== event.pointerId)?.[1] ?? place;
        const [was, is] = [Math.hypot(before.x - other.x, before.y - other.y), Math.hypot(place.x - other.x, place.y - other.y)];
        if (was > 0) made.zoom(is / was, { x: (place.x + other.x) / 2, y: (place.y + other.y) / 2 });
        now.touches.set(event.pointerId, place);
      } else if (now.moved) {
        if (now.drag) now.drag.move(made.toImage(place));
        else made.pan(place.x - before.x, place.y - before.y);
        now.touches.set(event.pointerId, place);
      }
    },
    onPointerUp(event: React.PointerEvent) {
      const made = image.current;
      const now = state.current;
      const place = placeOf(event);
      now.touches.delete(event.pointerId);
      if (!made || !now.start) return;
      if (now.drag && now.moved) now.drag.end(made.toImage(place));
      else if (!now.moved && now.tool) handlers.onClick?.(made.toImage(place), pointed(event, made));
      now.drag = null;
      if (!now.touches.size) now.start = null;
    },
    onPointerCancel(event: React.PointerEvent) {
      state.current.touches.delete(event.pointerId);
      state.current.drag = null;
    },
    onPointerLeave: () => handlers.onHover?.(null),
    onContextMenu: (event: React.MouseEvent) => event.preventDefault(), // the right button moves the image
  };
}
