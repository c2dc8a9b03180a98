/** What draws grey pictures: WebGL2, or a plain canvas where there is none. */

import type { Size, View } from "./view";

/** Grey pixels, row 0 first. */
export interface Picture extends Size {
  pixels: Uint8Array | ImageBitmap;
}

/** A picture in its place: it covers the image from its corner on, each of its pixels `binning` of the image's. */
export interface Placed {
  key: string;
  picture: Picture;
  left: number;
  top: number;
  binning: number;
}

/** Greys from 0 to 1 that are drawn black and white, and the exponent between. */
export interface Contrast {
  black: number;
  white: number;
  gamma: number;
}

export const PLAIN: Contrast = { black: 0, white: 1, gamma: 1 };

export interface Painter {
  readonly kind: "webgl2" | "2d";
  /** Most px a side of a picture. */
  readonly largest: number;
  draw(pictures: readonly Placed[], view: View, screen: Size, image: Size, contrast: Contrast): void;
  /** Let go of what was made of pictures other than these. */
  keep(keys: ReadonlySet<string>): void;
  dispose(): void;
}

/** The part of the image that a picture covers, px of the image from its upper left corner, cut at the image's end. */
export function covered({ picture, left, top, binning }: Placed, image: Size): { left: number; top: number; right: number; bottom: number } {
  return {
    left,
    top,
    right: Math.min(left + picture.width * binning, image.width),
    bottom: Math.min(top + picture.height * binning, image.height),
  };
}

/** The grey that a byte is drawn in. */
export function shade(byte: number, { black, white, gamma }: Contrast): number {
  const part = (byte / 255 - black) / Math.max(white - black, 1e-3);
  return Math.min(Math.max(part, 0), 1) ** gamma;
}
