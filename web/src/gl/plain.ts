/** Grey pictures on a plain canvas, for browsers without WebGL2: slower, as contrast is applied to every pixel. */

import { covered, shade, type Contrast, type Painter, type Picture, type Placed } from "./painter";
import type { Size, View } from "./view";

interface Shaded {
  canvas: HTMLCanvasElement;
  contrast: Contrast;
}

export class PlainPainter implements Painter {
  readonly kind = "2d";
  readonly largest = 8192;
  private readonly shaded = new Map<string, Shaded>();

  constructor(private readonly canvas: HTMLCanvasElement) {}

  draw(pictures: readonly Placed[], view: View, screen: Size, image: Size, contrast: Contrast): void {
    const context = this.canvas.getContext("2d");
    if (!context) return;
    const ratio = this.canvas.width / Math.max(screen.width, 1);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, screen.width, screen.height);
    context.imageSmoothingEnabled = view.scale < 3;
    for (const each of pictures) {
      const { left, top, right, bottom } = covered(each, image);
      const x = (left - 0.5 - view.x) * view.scale + screen.width / 2;
      const y = (top - 0.5 - view.y) * view.scale + screen.height / 2;
      const [width, height] = [right - left, bottom - top];
      context.drawImage(this.of(each, contrast), 0, 0, width / each.binning, height / each.binning, x, y, width * view.scale, height * view.scale);
    }
  }

  keep(keys: ReadonlySet<string>): void {
    for (const key of this.shaded.keys()) if (!keys.has(key)) this.shaded.delete(key);
  }

  dispose(): void {
    this.shaded.clear();
  }

  private of({ key, picture }: Placed, contrast: Contrast): HTMLCanvasElement {
    const known = this.shaded.get(key);
    if (known?.contrast === contrast) return known.canvas;
    const canvas = shadedCanvas(picture, contrast);
    this.shaded.set(key, { canvas, contrast });
    return canvas;
  }
}

function shadedCanvas(picture: Picture, contrast: Contrast): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = picture.width;
  canvas.height = picture.height;
  const context = canvas.getContext("2d");
  if (!context) return canvas;
  const greys = Uint8Array.from({ length: 256 }, (_, byte) => Math.round(255 * shade(byte, contrast)));
  const bytes = picture.pixels;
  if (!(bytes instanceof Uint8Array)) context.drawImage(bytes, 0, 0);
  const data = bytes instanceof Uint8Array ? context.createImageData(picture.width, picture.height) : context.getImageData(0, 0, picture.width, picture.height);
  for (let place = 0; place < picture.width * picture.height; place++) {
    const byte = bytes instanceof Uint8Array ? (bytes[place] ?? 0) : (data.data[4 * place] ?? 0);
    data.data.fill(greys[byte] ?? 0, 4 * place, 4 * place + 3);
    data.data[4 * place + 3] = 255;
  }
  context.putImageData(data, 0, 0);
  return canvas;
}
