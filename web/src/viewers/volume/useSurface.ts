/** Surfaces of bricks, made by a worker: one at a time, of the wishes that come meanwhile the last one. */

import { useEffect, useRef, useState } from "react";
import type { Brick } from "../../api/volumes";
import type { Order, Surface } from "../../gl/surface.worker";
import type { Mesh } from "../../gl/surfaceNets";

export interface Shown {
  mesh: Mesh;
  brick: Brick;
  level: number;
  /** A value of the painting map for each vertex. */
  values: Float32Array | null;
}

interface Wish {
  brick: Brick;
  level: number;
  paint: Brick | undefined;
}

/** Speaks with one worker. */
class Maker {
  private readonly worker = new Worker(new URL("../../gl/surface.worker.ts", import.meta.url), { type: "module" });
  private readonly names = new Map<Brick, string>();
  private made = 0;
  private working: Wish | null = null;
  private next: Wish | null = null;

  constructor(tell: (shown: Shown) => void) {
    this.worker.onmessage = ({ data: { mesh, values } }: MessageEvent<Surface>) => {
      const { brick, level } = this.working as Wish;
      this.working = null;
      if (this.next) this.send(this.next);
      tell({ mesh, brick, level, values });
    };
  }

  want(wish: Wish): void {
    if (this.working) this.next = wish;
    else this.send(wish);
  }

  stop(): void {
    this.worker.terminate();
  }

  private send(wish: Wish): void {
    this.working = wish;
    this.next = null;
    const needed = wish.paint ? [wish.brick, wish.paint] : [wish.brick];
    const forget = this.names.size > 4 ? [...this.names.keys()].filter((brick) => !needed.includes(brick)) : [];
    const order: Order = { level: wish.level, map: "", paint: "", grids: {}, forget: forget.map((brick) => this.names.get(brick) ?? "") };
    forget.forEach((brick) => this.names.delete(brick));
    for (const brick of needed) {
      if (this.names.has(brick)) continue;
      const name = `brick ${++this.made}`;
      this.names.set(brick, name);
      order.grids[name] = { values: brick.values, shape: brick.shape };
    }
    order.map = this.names.get(wish.brick) ?? "";
    order.paint = (wish.paint && this.names.get(wish.paint)) ?? "";
    this.worker.postMessage(order);
  }
}

/** The surface of a brick at a level; the last one stays until the next is there. */
export function useSurface(brick: Brick | undefined, level: number, paint?: Brick): Shown | null {
  const maker = useRef<Maker>(null);
  const [shown, setShown] = useState<Shown | null>(null);
  useEffect(() => {
    const made = new Maker(setShown);
    maker.current = made;
    return () => made.stop();
  }, []);
  useEffect(() => {
    if (brick) maker.current?.want({ brick, level, paint });
  }, [brick, level, paint]);
  return shown;
}
