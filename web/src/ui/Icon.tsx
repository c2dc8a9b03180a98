/** Line icons, drawn here: no font, no emoji. */

const paths = {
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  up: "M12 19V6M6 11l6-6 6 6",
  down: "M12 5v13M6 13l6 6 6-6",
  undo: "M8 5 4 9l4 4M4 9h10a5 5 0 0 1 0 10h-4",
  redo: "M16 5l4 4-4 4M20 9H10a5 5 0 0 0 0 10h4",
  circle: "M12 5a7 7 0 1 1 0 14 7 7 0 0 1 0-14M12 12v.1",
  eraser: "M8 19h11M4.5 15 14 5l6 6-8 8H8z",
  lasso: "M4 6l8-2 8 5-3 9-9 2z",
  frame: "M5 5h14v14H5z",
  search: "M11 4a7 7 0 1 1 0 14 7 7 0 0 1 0-14M16.5 16.5 21 21",
  close: "M6 6l12 12M18 6 6 18",
  check: "M5 12.5 10 17.5 19.5 7",
  cross: "M7 7l10 10M17 7 7 17",
  play: "M8 5l11 7-11 7z",
  stop: "M7 7h10v10H7z",
  pause: "M8 5v14M16 5v14",
  clock: "M12 4a8 8 0 1 1 0 16 8 8 0 0 1 0-16M12 8v4.5l3 2",
  spinner: "M12 4a8 8 0 1 1-7.5 5.3",
  pencil: "M4 20l1-4.5L16 4.5l3.5 3.5L8.5 19z",
  question: "M9 9a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.2-1.5 2.400M12 17.5v.1",
  warning: "M12 4 2.800 20h18.400zM12 10v4.5M12 17v.1",
  copy: "M9 9h10v11H9zM15 9V4H5v11h4",
  trash: "M5 7h14M10 7V4.5h4V7M7 7l1 13h8l1-13",
  restart: "M5 12a7 7 0 1 0 2.5-5.4M5 4v4h4",
  chart: "M4 20V4M4 20h16M8 16v-4M12 16V8M16 16v-6",
  branch: "M6 5v14M6 12h6a5 5 0 0 0 5-5V5",
  back: "M14.5 5 7.5 12l7 7",
  forward: "M9.5 5l7 7-7 7",
  sun: "M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8M12 3v1.5M12 19.5V21M3 12h1.5M19.5 12H21M5.6 5.6l1 1M17.400 17.400l1 1M18.400 5.6l-1 1M6.6 17.400l-1 1",
  moon: "M19 14.5A8 8 0 0 1 9.5 5a8 8 0 1 0 9.5 9.5",
  wand: "M5 19 15.5 8.5M14 4v3M19 9h-3M18.5 4.5l-1.5 1.5M19 14l-1-1M10 4l1 1",
  tree: "M6 5h6M6 5v14h5M6 12h5M14 12h5M14 19h5M15 5h4",
  list: "M4 6h16M4 12h16M4 18h16",
  cards: "M4 5h7v6H4zM13 5h7v6h-7zM4 13h7v6H4zM13 13h7v6h-7z",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  upload: "M12 15V4M7 8l5-5 5 5M5 20h14",
  more: "M5 12h.1M12 12h.1M19 12h.1",
  note: "M6 4h9l4 4v12H6zM9 12h7M9 16h5",
  disk: "M4 6h16v5H4zM4 13h16v5H4zM7 8.5v.1M7 15.5v.1",
  folder: "M4 6h6l2 2h8v10H4z",
  tag: "M4 4h8l8 8-8 8-8-8zM8 8v.1",
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name, size = 16, spin = false }: { name: IconName; size?: number; spin?: boolean }) {
  return (
    <svg width={size} height={size} viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth={2} strokeLinecap="round" strokeLinejoin="round" aria-hidden="true" className={spin ? "spin" : undefined} style={{ flex: "none" }}>
      <path d={paths[name]} />
    </svg>
  );
}
