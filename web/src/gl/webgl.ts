/** Grey pictures by WebGL2: textures of a byte a pixel; contrast is applied while drawing, so changing it costs nothing. */

import { covered, type Contrast, type Painter, type Placed } from "./painter";
import type { Size, View } from "./view";

const VERTEX = `#version 300 es
uniform vec4 place;   // left, top, right, bottom on the canvas, -1 to 1
uniform vec2 extent;  // part of the texture that is shown
out vec2 at;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  at = corner * extent;
  gl_Position = vec4(mix(place.xy, place.zw, corner), 0.0, 1.0);
}`;

const FRAGMENT = `#version 300 es
precision mediump float;
uniform sampler2D picture;
uniform vec3 contrast;  // black, white, gamma
in vec2 at;
out vec4 colour;
void main() {
  float grey = (texture(picture, at).r - contrast.x) / max(contrast.y - contrast.x, 0.001);
  colour = vec4(vec3(pow(clamp(grey, 0.0, 1.0), contrast.z)), 1.0);
}`;

export class WebglPainter implements Painter {
  readonly kind = "webgl2";
  readonly largest: number;
  private readonly textures = new Map<string, WebGLTexture>();
  private program: WebGLProgram | null = null;

  /** Null where there is no WebGL2. `onRestored`: a lost context is back, and everything is to be drawn again. */
  static on(canvas: HTMLCanvasElement, onRestored: () => void): WebglPainter | null {
    const gl = canvas.getContext("webgl2", { antialias: false, depth: false });
    return gl && new WebglPainter(canvas, gl, onRestored);
  }

  private constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly gl: WebGL2RenderingContext,
    private readonly onRestored: () => void,
  ) {
    this.largest = Number(gl.getParameter(gl.MAX_TEXTURE_SIZE));
    canvas.addEventListener("webglcontextlost", this.lost);
    canvas.addEventListener("webglcontextrestored", this.restored);
  }

  private readonly lost = (event: Event): void => {
    event.preventDefault(); // otherwise it never comes back
    this.textures.clear();
    this.program = null;
  };

  private readonly restored = (): void => this.onRestored();

  draw(pictures: readonly Placed[], view: View, screen: Size, image: Size, { black, white, gamma }: Contrast): void {
    const { gl } = this;
    if (gl.isContextLost()) return;
    this.program ??= this.linked();
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.useProgram(this.program);
    const uniform = (name: string) => gl.getUniformLocation(this.program as WebGLProgram, name);
    const [place, extent] = [uniform("place"), uniform("extent")];
    gl.uniform3f(uniform("contrast"), black, white, gamma);
    const across = (x: number) => ((x - 0.5 - view.x) * view.scale * 2) / screen.width;
    const down = (y: number) => (-(y - 0.5 - view.y) * view.scale * 2) / screen.height;
    for (const each of pictures) {
      gl.bindTexture(gl.TEXTURE_2D, this.textureOf(each));
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, view.scale * each.binning > 3 && each.binning === 1 ? gl.NEAREST : gl.LINEAR);
      const { left, top, right, bottom } = covered(each, image);
      gl.uniform4f(place, across(left), down(top), across(right), down(bottom));
      gl.uniform2f(extent, (right - left) / each.binning / each.picture.width, (bottom - top) / each.binning / each.picture.height);
      gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    }
  }

  keep(keys: ReadonlySet<string>): void {
    for (const [key, texture] of this.textures) {
      if (keys.has(key)) continue;
      this.gl.deleteTexture(texture);
      this.textures.delete(key);
    }
  }

  dispose(): void {
    this.keep(new Set());
    this.gl.deleteProgram(this.program);
    this.program = null;
    this.canvas.removeEventListener("webglcontextlost", this.lost);
    this.canvas.removeEventListener("webglcontextrestored", this.restored);
  }

  private textureOf({ key, picture }: Placed): WebGLTexture {
    const known = this.textures.get(key);
    if (known) return known;
    const { gl } = this;
    const made = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, made);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1); // rows follow each other without gaps
    if (picture.pixels instanceof Uint8Array) {
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.R8, picture.width, picture.height, 0, gl.RED, gl.UNSIGNED_BYTE, picture.pixels);
    } else {
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.R8, gl.RED, gl.UNSIGNED_BYTE, picture.pixels);
    }
    for (const name of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, name, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
    this.textures.set(key, made);
    return made;
  }

  private linked(): WebGLProgram {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [type, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]] as const) {
      const shader = gl.createShader(type) as WebGLShader;
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) throw new Error(gl.getProgramInfoLog(program) ?? "The shaders do not link.");
    return program;
  }
}
