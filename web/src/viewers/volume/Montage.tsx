/** Slices of a map side by side; one that is clicked is shown large. */

import { useEffect, useMemo, useRef } from "react";
import { useMontage, type Axis, type Choice } from "../../api/volumes";
import { painted } from "../../gl/colourMaps";
import { Failed, Loading } from "../../ui/Feedback";

const COUNT = 24;
const COLUMNS = 8;
const CELL = 160;

interface Props {
  project: string;
  output: string;
  choice: Choice;
  axis: Axis;
  table: Uint8Array;
  black: number;
  white: number;
  hollow: boolean;
  onChoose: (slice: number) => void;
}

export function Montage({ project, output, choice, axis, table, black, white, hollow, onChoose }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { data, error } = useMontage(project, output, choice, axis, COUNT, COLUMNS, CELL);
  const grey = useMemo(() => data && Uint8Array.from({ length: data.pixels.width * data.pixels.height }, (_, place) => data.pixels.data[4 * place] as number), [data]);
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context || !data || !grey) return;
    const { width, height } = data.pixels;
    context.canvas.width = width;
    context.canvas.height = height;
    context.putImageData(new ImageData(painted(grey, table, black, white, hollow), width, height), 0, 0);
  }, [data, grey, table, black, white, hollow]);
  if (error) return <Failed error={error} />;
  if (!data) return <Loading what="the slices" />;
  const { width, height } = data.pixels;
  return (
    <div className="montage">
      <div className="sheet" style={{ aspectRatio: `${width} / ${height}` }}>
        <canvas ref={canvas} role="img" aria-label={`${data.numbers.length} slices across ${axis}`} />
        {data.numbers.map((slice, place) => (
          <button
            key={slice}
            type="button"
            aria-label={`Slice ${slice} across ${axis}`}
            style={{
              left: `${(((place % COLUMNS) * data.cell.width) / width) * 100}%`,
              top: `${((Math.floor(place / COLUMNS) * data.cell.height) / height) * 100}%`,
              width: `${(data.cell.width / width) * 100}%`,
              height: `${(data.cell.height / height) * 100}%`,
            }}
            onClick={() => onChoose(slice)}
          >
            {slice}
          </button>
        ))}
      </div>
    </div>
  );
}
