/** The tools, the particle's size, the model, contrast, and the picks in words. */

import { useEffect, useState } from "react";
import type { Picking } from "../../api/schema";
import { ContrastControls } from "../../gl/ContrastControls";
import type { Contrast } from "../../gl/painter";
import { Icon, type IconName } from "../../ui/Icon";
import type { Pick, Sheet } from "./edits";
import type { Tool } from "./tools";

interface Props {
  picking: Picking;
  sheet: Sheet | undefined;
  tool: Tool;
  onTool: (tool: Tool) => void;
  /** Diameter of the brush, particle diameters. */
  brush: number;
  onBrush: (brush: number) => void;
  boxes: boolean;
  onBoxes: (boxes: boolean) => void;
  /** Side of a box, px. */
  box: number;
  contrast: Contrast;
  onContrast: (contrast: Contrast) => void;
  lowpass: number;
  onLowpass: (lowpass: number) => void;
  learning: boolean;
  does: {
    train: () => void;
    autopick: () => void;
    accept: () => void;
    reopen: () => void;
    acceptAndGoOn: () => Promise<void>;
    diameter: (value: number) => void;
    least: (value: number) => void;
    clearRegion: () => void;
  };
}

const TOOLS: readonly (readonly [Tool, string, IconName, string])[] = [
  ["pick", "Pick", "circle", "Click adds, Shift+click removes the nearest, a drag moves a pick (P)"],
  ["erase", "Erase", "eraser", "A brush that removes all it goes over (E)"],
  ["lasso", "Lasso", "lasso", "Removes all that you draw a line around (L)"],
  ["region", "Region", "frame", "The part in which you mark every particle: outside of it nothing is learned (R)"],
];

export function ToolPanel(props: Props) {
  const { picking, sheet, tool, onTool, brush, onBrush, boxes, onBoxes, does } = props;
  return (
    <aside className="mic-details picker-tools" aria-label="Tools">
      <section>
        <h2>Tools</h2>
        <div className="tool-row" role="radiogroup" aria-label="Tool">
          {TOOLS.map(([name, title, icon, help]) => (
            <button key={name} type="button" role="radio" aria-checked={tool === name} className={tool === name ? "button on" : "button"} title={help} onClick={() => onTool(name)}>
              <Icon name={icon} /> {title}
            </button>
          ))}
        </div>
        <p className="soft hint">{TOOLS.find(([name]) => name === tool)?.[3]}</p>
        {tool === "erase" && (
          <label className="row">
            Brush
            <input type="range" className="grow" min={0.5} max={8} step={0.5} value={brush} onChange={(event) => onBrush(Number(event.target.value))} />
            <output>{brush} Ø</output>
          </label>
        )}
        {sheet?.region && (
          <button type="button" className="button" onClick={does.clearRegion}>
            Whole micrograph again
          </button>
        )}
      </section>
      <section>
        <h2>Particle</h2>
        <Diameter value={picking.diameter} onChange={does.diameter} />
        <label className="row">
          <input type="checkbox" checked={boxes} onChange={(event) => onBoxes(event.target.checked)} /> show boxes of {props.box} px
        </label>
      </section>
      <Learning {...props} />
      <section>
        <h2>Contrast</h2>
        <ContrastControls contrast={props.contrast} onContrast={props.onContrast} lowpass={props.lowpass} onLowpass={props.onLowpass} />
      </section>
      <PickTable picks={sheet?.picks ?? []} />
    </aside>
  );
}

const LISTED = 500;

/** The picks in words; rows are made only while somebody looks at them. */
function PickTable({ picks }: { picks: readonly Pick[] }) {
  const [open, setOpen] = useState(false);
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Picks as a table</summary>
      {open && (
        <div className="pick-list">
          <table className="facts">
            <thead>
              <tr>
                <th>x</th>
                <th>y</th>
                <th>Score</th>
              </tr>
            </thead>
            <tbody>
              {picks.slice(0, LISTED).map((pick) => (
                <tr key={pick.number}>
                  <td>{pick.x.toFixed(1)}</td>
                  <td>{pick.y.toFixed(1)}</td>
                  <td>{pick.score === null ? "by hand" : pick.score.toFixed(2)}</td>
                </tr>
              ))}
            </tbody>
          </table>
          {picks.length > LISTED && <p className="soft">and {picks.length - LISTED} more</p>}
        </div>
      )}
    </details>
  );
}

function Learning({ picking, sheet, learning, does }: Props) {
  const told = picking.estimates;
  const corrected = sheet?.state === "corrected";
  const scored = sheet?.picks.some((pick) => pick.score !== null) ?? false;
  return (
    <section>
      <h2>Model</h2>
      <p className="soft hint" role="status">
        {learning
          ? "The model is at work …"
          : told
            ? `Learned from ${told.particles} particles: precision ${percent(told.precision)}, recall ${percent(told.recall)}.`
            : picking.trained
              ? "Trained; it is learned again when it is next used."
              : "Pick all particles of a micrograph or of a region, at least 10, then train."}
      </p>
      <div className="row wrap">
        <button type="button" className="button" disabled={learning} onClick={does.train}>
          <Icon name={learning ? "spinner" : "wand"} spin={learning} /> Train
        </button>
        <button type="button" className="button" disabled={learning || !picking.trained || corrected} title={picking.trained ? "Let the model pick this micrograph" : "Train first"} onClick={does.autopick}>
          Autopick
        </button>
        {corrected ? (
          <button type="button" className="button" disabled={learning} onClick={does.reopen}>
            Reopen
          </button>
        ) : (
          <button type="button" className="button" disabled={learning || !sheet?.picks.length} title="Its picks are right and complete: the model learns from them" onClick={does.accept}>
            <Icon name="check" /> Accept
          </button>
        )}
      </div>
      <button type="button" className={picking.trained ? "button main" : "button"} disabled={learning || !sheet?.picks.length} onClick={() => void does.acceptAndGoOn()}>
        {picking.trained ? "Accept, autopick the next" : "Accept, go to the next"}
      </button>
      {(scored || picking.least !== 0.5) && <Least value={picking.least} onChange={does.least} />}
    </section>
  );
}

const percent = (part: number): string => `${Math.round(100 * part)} %`;

/** Hides the model's picks of lower scores; the server is told when the slider rests. */
function Least({ value, onChange }: { value: number; onChange: (value: number) => void }) {
  const [shown, setShown] = useState(value);
  useEffect(() => setShown(value), [value]);
  useEffect(() => {
    if (shown === value) return;
    const timer = setTimeout(() => onChange(shown), 250);
    return () => clearTimeout(timer);
  }, [shown, value, onChange]);
  return (
    <label className="row">
      Least score
      <input type="range" className="grow" min={0} max={1} step={0.01} value={shown} onChange={(event) => setShown(Number(event.target.value))} />
      <output>{shown.toFixed(2)}</output>
    </label>
  );
}

function Diameter({ value, onChange }: { value: number; onChange: (value: number) => void }) {
  const [text, setText] = useState(String(value));
  useEffect(() => setText(String(value)), [value]);
  const wanted = Number(text);
  const bad = !(wanted > 0);
  return (
    <form
      className="row"
      onSubmit={(event) => {
        event.preventDefault();
        if (!bad && wanted !== value) onChange(wanted);
      }}
    >
      <label className="row grow">
        Diameter, Å
        <input className="input" inputMode="decimal" value={text} aria-invalid={bad} onChange={(event) => setText(event.target.value)} />
      </label>
      <button type="submit" className="button" disabled={bad || wanted === value}>
        Set
      </button>
    </form>
  );
}
