/** A bar that says how large things are, for pictures that leave the page. */

/** The longest of 1, 2 and 5 times a power of ten that is no longer than `longest`. */
export function roundLength(longest: number): number {
  const power = 10 ** Math.floor(Math.log10(longest));
  return ([5, 2, 1].find((each) => each * power <= longest) ?? 1) * power;
}

/** Draw a bar into the lower left corner; `pixel` is the size of a pixel. */
export function drawScaleBar(canvas: HTMLCanvasElement, pixel: number, unit: string): void {
  const context = canvas.getContext("2d");
  if (!context || !(pixel > 0)) return;
  const length = roundLength(0.25 * canvas.width * pixel);
  const size = Math.max(12, Math.round(canvas.height / 40));
  const [left, bottom, thick] = [1.5 * size, canvas.height - 1.5 * size, Math.max(3, size / 4)];
  context.globalCompositeOperation = "destination-over";
  context.fillStyle = "#161d23";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.globalCompositeOperation = "source-over";
  context.fillStyle = "#fff";
  context.fillRect(left, bottom - thick, length / pixel, thick);
  context.font = `${size}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.fillText(`${Number(length.toPrecision(1))} ${unit}`, left + length / pixel / 2, bottom - thick - size / 3);
}
