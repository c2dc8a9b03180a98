/** Which pictures of a large image are needed for what is on the screen. */

import { toImage, type Size, type View } from "./view";

/** Side of a tile, px of its level, as the server cuts them. */
export const TILE = 512;
/** Binning of the picture that is shown first. */
export const COARSE = 4;
const BINNINGS = [8, 4, 2, 1] as const;
/** Most samples of one answer of the server. */
const MOST_SAMPLES = 64 * 2 ** 20;

export interface Tile {
  level: number;
  column: number;
  row: number;
}

export const tileKey = ({ level, column, row }: Tile): string => `${level}/${column}/${row}`;

/** The coarsest binning whose pixels are not larger than those of the screen. */
export const levelFor = (scale: number, pixelRatio: number): number => BINNINGS.find((binning) => binning * scale * pixelRatio <= 1) ?? 1;

/** The binning at which a low-passed image has all that is left of it, in a picture that a texture holds. */
export function lowpassedLevel(lowpass: number, pixelSize: number, image: Size, wanted: number, largest: number): number {
  const enough = BINNINGS.find((binning) => 3 * binning * pixelSize <= lowpass) ?? 1;
  const fits = [...BINNINGS].reverse().find((binning) => Math.max(image.width, image.height) / binning <= largest && (image.width * image.height) / binning ** 2 <= MOST_SAMPLES) ?? 8;
  return Math.max(Math.min(COARSE, Math.max(enough, wanted)), fits);
}

/** The tiles of a level that are on the screen, the middle first. */
export function tilesIn(view: View, screen: Size, image: Size, level: number): Tile[] {
  const side = TILE * level;
  const first = toImage(view, screen, { x: 0, y: 0 });
  const last = toImage(view, screen, { x: screen.width, y: screen.height });
  const range = (low: number, high: number, size: number): [number, number] => [
    Math.max(0, Math.floor((low + 0.5) / side)),
    Math.min(Math.ceil(size / side) - 1, Math.floor((high + 0.5) / side)),
  ];
  const [left, right] = range(first.x, last.x, image.width);
  const [top, bottom] = range(first.y, last.y, image.height);
  const tiles: Tile[] = [];
  for (let row = top; row <= bottom; row++) for (let column = left; column <= right; column++) tiles.push({ level, column, row });
  const away = ({ column, row }: Tile) => Math.hypot((column + 0.5) * side - view.x, (row + 0.5) * side - view.y);
  return tiles.sort((a, b) => away(a) - away(b));
}
