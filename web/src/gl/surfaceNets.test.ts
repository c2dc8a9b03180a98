import { describe, expect, it } from "vitest";
import { surfaceNets } from "./surfaceNets";

const SIDE = 40;
const RADIUS = 12;
const CENTRE = 19.3;

function ball(): Float32Array {
  const values = new Float32Array(SIDE ** 3);
  for (let z = 0; z < SIDE; z++)
    for (let y = 0; y < SIDE; y++)
      for (let x = 0; x < SIDE; x++) values[(z * SIDE + y) * SIDE + x] = RADIUS - Math.hypot(x - CENTRE, y - CENTRE, z - CENTRE);
  return values;
}

const mesh = surfaceNets(ball(), [SIDE, SIDE, SIDE], 0);
const vertex = (number: number) => [0, 1, 2].map((axis) => mesh.positions[3 * number + axis] as number) as [number, number, number];

describe("the surface of a ball", () => {
  it("lies on the ball", () => {
    for (let place = 0; place < mesh.positions.length / 3; place++) {
      const [x, y, z] = vertex(place);
      expect(Math.abs(Math.hypot(x - CENTRE, y - CENTRE, z - CENTRE) - RADIUS)).toBeLessThan(0.3);
    }
  });

  it("is closed: every edge belongs to two triangles, once in each direction", () => {
    const edges = new Map<string, number>();
    for (let place = 0; place < mesh.triangles.length; place += 3)
      for (let side = 0; side < 3; side++) {
        const key = `${mesh.triangles[place + side]}-${mesh.triangles[place + ((side + 1) % 3)]}`;
        edges.set(key, (edges.get(key) ?? 0) + 1);
      }
    for (const [key, count] of edges) {
      expect(count).toBe(1);
      expect(edges.get(key.split("-").reverse().join("-"))).toBe(1);
    }
  });

  it("has the ball's area and volume, and its triangles face outwards", () => {
    let area = 0;
    let volume = 0;
    for (let place = 0; place < mesh.triangles.length; place += 3) {
      const [a, b, c] = [vertex(mesh.triangles[place] as number), vertex(mesh.triangles[place + 1] as number), vertex(mesh.triangles[place + 2] as number)];
      const u = b.map((value, axis) => value - (a[axis] as number)) as [number, number, number];
      const v = c.map((value, axis) => value - (a[axis] as number)) as [number, number, number];
      const cross = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]] as const;
      area += Math.hypot(...cross) / 2;
      volume += cross.reduce((sum, value, axis) => sum + (value * ((a[axis] as number) - CENTRE)) / 6, 0);
    }
    expect(area / (4 * Math.PI * RADIUS ** 2)).toBeCloseTo(1, 1);
    expect(volume / ((4 / 3) * Math.PI * RADIUS ** 3)).toBeCloseTo(1, 1);
  });

  it("has normals that point outwards", () => {
    for (let place = 0; place < mesh.positions.length / 3; place += 17) {
      const along = vertex(place).reduce((sum, value, axis) => sum + (value - CENTRE) * (mesh.normals[3 * place + axis] as number), 0);
      expect(along / RADIUS).toBeGreaterThan(0.9);
    }
  });
});

it("is empty where nothing lies above the level", () => {
  expect(surfaceNets(ball(), [SIDE, SIDE, SIDE], 100).triangles.length).toBe(0);
});
