/** How greys are drawn, at once and without the server; and the low-pass, which the server computes. */

import { useEffect, useState } from "react";
import { PLAIN, type Contrast } from "./painter";

interface Props {
  contrast: Contrast;
  onContrast: (contrast: Contrast) => void;
  lowpass: number;
  onLowpass: (lowpass: number) => void;
}

const SLIDERS = [
  ["black", "Black", 0, 1],
  ["white", "White", 0, 1],
  ["gamma", "Gamma", 0.3, 3],
] as const;

export function ContrastControls({ contrast, onContrast, lowpass, onLowpass }: Props) {
  const [text, setText] = useState(lowpass ? String(lowpass) : "");
  useEffect(() => {
    const value = Number(text);
    if (!Number.isFinite(value) || value < 0 || value > 10_000) return;
    const timer = setTimeout(() => onLowpass(value), 300);
    return () => clearTimeout(timer);
  }, [text, onLowpass]);
  const change = (name: keyof Contrast, value: number) => {
    const next = { ...contrast, [name]: value };
    if (next.white - next.black < 0.02) return; // black stays darker than white
    onContrast(next);
  };
  return (
    <div className="contrast">
      {SLIDERS.map(([name, title, least, most]) => (
        <label key={name}>
          {title}
          <input type="range" min={least} max={most} step={0.01} value={contrast[name]} onChange={(event) => change(name, Number(event.target.value))} />
          <output>{contrast[name].toFixed(2)}</output>
        </label>
      ))}
      <label>
        Low-pass, Å
        <input className="input" inputMode="decimal" placeholder="none" value={text} onChange={(event) => setText(event.target.value)} />
        <button type="button" className="button plain" onClick={() => (onContrast(PLAIN), setText(""))}>
          Reset
        </button>
      </label>
    </div>
  );
}
