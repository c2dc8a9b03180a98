/** The picture of a row: of micrographs a miniature, of CTFs the spectrum, of the rest a cell of the page's sheet. */

import { miniature, ROWS, sheetPicture, useSheet, type Order } from "../../api/sets";

export type PictureKind = "thumbnail" | "psd" | "sheet";

const kinds: Record<string, PictureKind> = {
  micrographs: "thumbnail",
  ctfs: "psd",
  classes2d: "sheet",
  classes3d: "sheet",
  particles: "sheet",
  coordinates: "sheet",
  volume: "sheet",
};

export const pictureOf = (kind: string): PictureKind | null => kinds[kind] ?? null;

const SIDE = 56;
const BESIDE = 10;

interface Props {
  project: string;
  output: string;
  kind: PictureKind;
  id: number;
  place: number;
  order: Order;
}

export function Picture({ project, output, kind, id, place, order }: Props) {
  if (kind !== "sheet") return <img src={miniature(project, output, id, kind)} alt="" height={SIDE} loading="lazy" />;
  return <FromSheet project={project} output={output} kind={kind} id={id} place={place} order={order} />;
}

function FromSheet({ project, output, id, place, order }: Props) {
  const wanted = { ...order, offset: Math.floor(place / ROWS) * ROWS, limit: ROWS, columns: BESIDE, size: SIDE };
  const { data } = useSheet(project, output, wanted);
  const item = data?.items.find((each) => each.id === id);
  if (!data || !item) return null;
  const [x, y] = [item.column * data.cell, item.row * data.cell];
  const scale = SIDE / data.cell;
  return (
    <span
      className="of-sheet"
      style={{ width: SIDE, height: SIDE, backgroundImage: `url("${sheetPicture(project, output, wanted)}")`, backgroundPosition: `${-x * scale}px ${-y * scale}px`, backgroundSize: `${data.columns * data.cell * scale}px auto` }}
    />
  );
}
