/** Colour maps, of 256 colours each, as bytes r, g, b: grey, and two that also order by lightness. */

export type ColourMapName = "grey" | "viridis" | "cividis";

type Stop = readonly [number, number, number];

const STOPS: Record<ColourMapName, readonly Stop[]> = {
  grey: [
    [0, 0, 0],
    [255, 255, 255],
  ],
  viridis: [
    [68, 1, 84],
    [72, 40, 120],
    [62, 74, 137],
    [49, 104, 142],
    [38, 130, 142],
    [31, 158, 137],
    [53, 183, 121],
    [109, 205, 89],
    [180, 222, 44],
    [253, 231, 37],
  ],
  cividis: [
    [0, 34, 78],
    [18, 53, 112],
    [59, 73, 108],
    [87, 93, 109],
    [112, 113, 115],
    [138, 134, 120],
    [165, 156, 116],
    [195, 179, 105],
    [225, 204, 85],
    [254, 232, 56],
  ],
};

export const COLOUR_MAPS = Object.keys(STOPS) as ColourMapName[];

/** The 256 colours of a map, between its stops linear. */
export function colours(name: ColourMapName): Uint8Array {
  const stops = STOPS[name];
  const table = new Uint8Array(256 * 3);
  for (let value = 0; value < 256; value++) {
    const place = (value / 255) * (stops.length - 1);
    const first = Math.min(Math.floor(place), stops.length - 2);
    for (let channel = 0; channel < 3; channel++) {
      const from = stops[first]?.[channel] ?? 0;
      const to = stops[first + 1]?.[channel] ?? 0;
      table[3 * value + channel] = Math.round(from + (place - first) * (to - from));
    }
  }
  return table;
}

/** Colours as bytes, made what lights reckon with: shares of the light, 0 to 1. */
export function lightOf(colours: Uint8Array): Float32Array {
  const lit = Float32Array.from({ length: 256 }, (_, byte) => (byte <= 10 ? byte / 3295 : ((byte / 255 + 0.055) / 1.055) ** 2.4));
  return Float32Array.from(colours, (byte) => lit[byte] as number);
}

/** Pixels of a plane between two limits, given as bytes of the plane, or parts of them; with `hollow` one sees through where it is 0. */
export function painted(data: Uint8Array, table: Uint8Array, black: number, white: number, hollow = false): Uint8ClampedArray<ArrayBuffer> {
  const pixels = new Uint8ClampedArray(4 * data.length);
  const scale = 255 / Math.max(1e-6, white - black);
  for (let place = 0; place < data.length; place++) {
    const shown = Math.min(255, Math.max(0, Math.round(((data[place] as number) - black) * scale)));
    pixels[4 * place] = table[3 * shown] as number;
    pixels[4 * place + 1] = table[3 * shown + 1] as number;
    pixels[4 * place + 2] = table[3 * shown + 2] as number;
    pixels[4 * place + 3] = hollow && data[place] === 0 ? 0 : 255;
  }
  return pixels;
}
