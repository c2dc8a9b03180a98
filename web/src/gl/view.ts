/** Where an image lies on the screen. Pixel 0 of an image has its centre at 0, row 0 is at the top, y runs down. */

export interface Size {
  width: number;
  height: number;
}

/** The image's place `x`, `y` (px) is in the middle of the screen, at `scale` screen px an image px. */
export interface View {
  x: number;
  y: number;
  scale: number;
}

export interface Point {
  x: number;
  y: number;
}

const MOST = 32;

export const toScreen = (view: View, screen: Size, place: Point): Point => ({
  x: (place.x - view.x) * view.scale + screen.width / 2,
  y: (place.y - view.y) * view.scale + screen.height / 2,
});

export const toImage = (view: View, screen: Size, place: Point): Point => ({
  x: (place.x - screen.width / 2) / view.scale + view.x,
  y: (place.y - screen.height / 2) / view.scale + view.y,
});

/** The whole image, as large as it goes. */
export function fitted(image: Size, screen: Size): View {
  const scale = Math.min(screen.width / image.width, screen.height / image.height);
  return { x: (image.width - 1) / 2, y: (image.height - 1) / 2, scale: scale > 0 && Number.isFinite(scale) ? scale : 1 };
}

/** Keep the middle of the screen on the image, and the scale within reason. */
export function bounded(view: View, image: Size, screen: Size): View {
  const least = fitted(image, screen).scale / 2;
  return {
    x: Math.min(Math.max(view.x, 0), image.width - 1),
    y: Math.min(Math.max(view.y, 0), image.height - 1),
    scale: Math.min(Math.max(view.scale, least), Math.max(MOST, least)),
  };
}

/** Zoom by a factor; what is under a place of the screen stays there. */
export function zoomed(view: View, screen: Size, factor: number, about: Point): View {
  const held = toImage(view, screen, about);
  const scale = view.scale * factor;
  return { scale, x: held.x - (about.x - screen.width / 2) / scale, y: held.y - (about.y - screen.height / 2) / scale };
}

/** Move the image with the pointer, by screen px. */
export const panned = (view: View, dx: number, dy: number): View => ({ ...view, x: view.x - dx / view.scale, y: view.y - dy / view.scale });

/** A scale bar of 1, 2 or 5 times a power of ten: its length on the screen and in words. */
export function scaleBar(scale: number, pixelSize: number, longest = 150): { length: number; text: string } {
  const reach = (longest / scale) * pixelSize;
  const power = 10 ** Math.floor(Math.log10(reach));
  const size = ([5, 2, 1].find((each) => each * power <= reach) ?? 1) * power;
  const text = size >= 1000 ? `${size / 10} nm` : `${Number(size.toPrecision(3))} Å`;
  return { length: (size / pixelSize) * scale, text };
}
