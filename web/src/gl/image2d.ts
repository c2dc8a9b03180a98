/** A large image on the screen: coarse at once, refined when it has come to rest, drawn only when something has changed. */

import type { ImageSource } from "../api/images";
import { PLAIN, type Contrast, type Painter, type Picture, type Placed } from "./painter";
import { PlainPainter } from "./plain";
import { COARSE, levelFor, lowpassedLevel, TILE, tileKey, tilesIn, type Tile } from "./tiles";
import { bounded, fitted, panned, toImage, toScreen, zoomed, type Point, type Size, type View } from "./view";
import { WebglPainter } from "./webgl";

/** Milliseconds without a change after which finer pictures are asked for. */
const REST = 150;
/** Tiles that are kept, 256 kB each. */
const KEPT = 160;
const AT_ONCE = 6;

export interface Listener {
  /** Draw over the image: called after each drawing of it. */
  onDraw(): void;
  /** The binning of what is shown, and whether more is on its way. */
  onDetail(binning: number, loading: boolean): void;
  onError(error: unknown): void;
}

export class Image2d {
  view: View = { x: 0, y: 0, scale: 1 };
  screen: Size = { width: 0, height: 0 };
  readonly painter: Painter;
  private source: ImageSource | null = null;
  private contrast = PLAIN;
  private lowpass = 0;
  private base: (Placed & { lowpass: number }) | null = null;
  private readonly tiles = new Map<string, Placed>();
  private readonly asked = new Map<string, AbortController>();
  private frame = 0;
  private stale = false;
  private rest = 0;
  private untouched = true;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly listener: Listener,
  ) {
    this.painter = WebglPainter.on(canvas, () => this.redraw()) ?? new PlainPainter(canvas);
  }

  /** Show an image; the view stays where it is on one of the same size. */
  show(source: ImageSource): void {
    if (this.source?.key === source.key) return;
    const same = this.source?.width === source.width && this.source.height === source.height;
    this.forget();
    this.source = source;
    if (!same || this.untouched) this.fit();
    void this.loadBase(COARSE);
  }

  /** Ask again for what could not be had. */
  retry(): void {
    if (this.source) void this.loadBase(COARSE);
  }

  setContrast(contrast: Contrast): void {
    this.contrast = contrast;
    this.redraw();
  }

  /** Å; 0: none. */
  setLowpass(lowpass: number): void {
    if (lowpass === this.lowpass) return;
    this.lowpass = lowpass;
    this.abort();
    this.tiles.clear();
    if (this.source) void this.loadBase(COARSE);
  }

  resize(width: number, height: number): void {
    if (!width || !height) return;
    this.screen = { width, height };
    const ratio = devicePixelRatio;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    if (this.untouched) this.fit();
    else this.look(this.view);
  }

  fit(): void {
    if (!this.source || !this.screen.width) return;
    this.look(fitted(this.source, this.screen));
    this.untouched = true;
  }

  /** One px of the image a px of the screen. */
  actualSize(): void {
    this.look({ ...this.view, scale: 1 });
  }

  zoom(factor: number, about: Point = { x: this.screen.width / 2, y: this.screen.height / 2 }): void {
    this.look(zoomed(this.view, this.screen, factor, about));
  }

  pan(dx: number, dy: number): void {
    this.look(panned(this.view, dx, dy));
  }

  look(view: View): void {
    if (!this.source || !this.screen.width) return;
    this.view = bounded(view, this.source, this.screen);
    this.untouched = false;
    this.redraw();
    clearTimeout(this.rest);
    this.rest = setTimeout(() => this.refine(), REST) as unknown as number;
  }

  toImage = (place: Point): Point => toImage(this.view, this.screen, place);
  toScreen = (place: Point): Point => toScreen(this.view, this.screen, place);

  redraw(): void {
    this.stale = true;
    this.redrawOver();
  }

  /** Draw again what is over the image, which itself has not changed. */
  redrawOver(): void {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      if (this.stale && this.source) this.painter.draw(this.shown(), this.view, this.screen, this.source, this.contrast);
      this.stale = false;
      this.listener.onDraw();
    });
  }

  dispose(): void {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.rest);
    this.forget();
    this.painter.dispose();
  }

  private forget(): void {
    this.abort();
    this.tiles.clear();
    this.base = null;
    this.source = null;
    this.painter.keep(new Set());
  }

  private abort(): void {
    this.asked.forEach((each) => each.abort());
    this.asked.clear();
  }

  /** The base, and over it the tiles of the level that is looked at, coarser ones first. */
  private shown(): Placed[] {
    if (!this.base || !this.source) return [];
    const level = levelFor(this.view.scale, devicePixelRatio);
    const over = [...this.tiles.values()].filter((tile) => tile.binning >= level).sort((a, b) => b.binning - a.binning);
    return [this.base, ...over];
  }

  private async loadBase(binning: number): Promise<void> {
    const { source, lowpass } = this;
    if (!source) return;
    const key = `${source.key} ${binning} ${lowpass}`;
    await this.load(key, (signal) => source.whole(binning, lowpass, signal), (picture) => {
      this.base = { key, picture, left: 0, top: 0, binning, lowpass };
      this.tidy();
      this.refine();
    });
  }

  private refine(): void {
    const { source, base } = this;
    if (!source || !base || base.lowpass !== this.lowpass) return;
    const wanted = levelFor(this.view.scale, devicePixelRatio);
    if (this.lowpass > 0) {
      const level = lowpassedLevel(this.lowpass, source.pixelSize, source, wanted, this.painter.largest);
      if (level < base.binning && !this.asked.size) void this.loadBase(level);
      else this.tell();
      return;
    }
    const needed = wanted < COARSE ? tilesIn(this.view, this.screen, source, wanted) : [];
    const names = new Set(needed.map(tileKey));
    for (const [key, asked] of this.asked) {
      if (names.has(key)) continue;
      asked.abort();
      this.asked.delete(key);
    }
    for (const tile of needed) {
      if (this.asked.size >= AT_ONCE) break;
      if (!this.tiles.has(tileKey(tile)) && !this.asked.has(tileKey(tile))) void this.loadTile(source, tile);
    }
    this.tell();
  }

  private async loadTile(source: ImageSource, tile: Tile): Promise<void> {
    const key = tileKey(tile);
    await this.load(key, (signal) => source.tile(tile, signal), (picture) => {
      const side = TILE * tile.level;
      this.tiles.set(key, { key: `${source.key} ${key}`, picture, left: tile.column * side, top: tile.row * side, binning: tile.level });
      this.tidy();
      this.refine();
    });
  }

  private async load(key: string, ask: (signal: AbortSignal) => Promise<Picture>, take: (picture: Picture) => void): Promise<void> {
    const asked = new AbortController();
    this.asked.set(key, asked);
    this.tell();
    try {
      const picture = await ask(asked.signal);
      if (asked.signal.aborted) return;
      this.asked.delete(key);
      take(picture);
      this.redraw();
    } catch (error) {
      if (asked.signal.aborted) return;
      this.asked.delete(key);
      this.listener.onError(error);
    } finally {
      this.tell();
    }
  }

  private tidy(): void {
    for (const key of this.tiles.keys()) {
      if (this.tiles.size <= KEPT) break;
      this.tiles.delete(key); // the one that came first
    }
    this.painter.keep(new Set([this.base?.key ?? "", ...[...this.tiles.values()].map((each) => each.key)]));
  }

  private tell(): void {
    const finest = Math.min(this.base?.binning ?? 0, ...[...this.tiles.values()].map((each) => each.binning));
    this.listener.onDetail(finest, this.asked.size > 0 || !this.base);
  }
}
