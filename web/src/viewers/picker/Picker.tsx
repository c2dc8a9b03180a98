/** Picking by hand: micrographs at the left, the one that is picked on in the middle, tools and the model at the right. */

import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { micrographSource } from "../../api/images";
import { pickingTransport, usePicking, usePickingActions, usePickingRevision } from "../../api/picking";
import type { Picked, Picking } from "../../api/schema";
import { ImageCanvas } from "../../gl/ImageCanvas";
import type { Image2d } from "../../gl/image2d";
import { PLAIN } from "../../gl/painter";
import type { Point } from "../../gl/view";
import { navigate, to } from "../../router";
import { Empty, Failed, Loading } from "../../ui/Feedback";
import { counted, number } from "../../ui/format";
import { Icon } from "../../ui/Icon";
import { toast, toastError } from "../../ui/Toasts";
import { beside, useChosen } from "../micrographs/chosen";
import { MicrographTable, type Column } from "../micrographs/MicrographTable";
import { Steps } from "../micrographs/Steps";
import { Desk } from "./desk";
import { drawScene } from "./drawing";
import { STATES } from "./states";
import { ToolPanel } from "./ToolPanel";
import { click, onImage, press, removeNearest, type Sketch, type Tool } from "./tools";
import { usePickKeys } from "./keys";
import "../analyze.css";
import "./picker.css";

export default function PickerPage({ project, run }: { project: string; run: string }) {
  const { data, error, refetch } = usePicking(project, run);
  return (
    <div className="analyze picker" role="region" aria-label={`Picking of ${run}`}>
      {error ? (
        <div className="empty">
          <Failed error={error} retry={() => void refetch()} />
          <button type="button" className="button" onClick={() => navigate(to.run(project, run))}>
            <Icon name="back" /> Back to the run
          </button>
        </div>
      ) : !data ? (
        <Loading what="the picking" />
      ) : data.micrographs.length === 0 ? (
        <Empty>The set has no micrographs.</Empty>
      ) : (
        <Bench project={project} run={run} picking={data} />
      )}
    </div>
  );
}

function Bench({ project, run, picking }: { project: string; run: string; picking: Picking }) {
  const ids = useMemo(() => picking.micrographs.map((each) => each.id), [picking.micrographs]);
  const [chosen, choose] = useChosen(ids);
  const micrograph = chosen ?? 0;
  const about = picking.micrographs.find((each) => each.id === micrograph);
  const [order, setOrder] = useState<readonly number[]>(ids);
  const actions = usePickingActions(project, run);
  const desk = useMemo(() => new Desk(pickingTransport(project, run), toastError), [project, run]);
  const sheet = useSyncExternalStore(desk.subscribe, () => desk.sheet(micrograph));
  useEffect(() => {
    if (!desk.sheet(micrograph)) desk.load(micrograph).catch(toastError);
  }, [desk, micrograph]);
  useOthers(project, run, desk, micrograph, actions);

  const [tool, setTool] = useState<Tool>("pick");
  const [brush, setBrush] = useState(1);
  const [boxes, setBoxes] = useState(false);
  const [contrast, setContrast] = useState(PLAIN);
  const [lowpass, setLowpass] = useState(0);
  const image = useRef<Image2d | null>(null);
  const sketch = useRef<Sketch>(null);
  const [hovered, setHovered] = useState<Point | null>(null);
  const cursor = useRef<Point | null>(null);
  const turn = useRef<Promise<unknown>>(Promise.resolve());

  const { width = 1, height = 1, pixel_size: pixelSize = 1, weighted = false } = about ?? {};
  const size = useMemo(() => ({ width, height }), [width, height]);
  const diameter = picking.diameter / pixelSize;
  const box = Math.round(1.5 * diameter);
  const source = useMemo(
    () => micrographSource(project, picking.output, { id: micrograph, width, height, pixelSize, weighted }),
    [project, picking.output, micrograph, width, height, pixelSize, weighted],
  );
  const overlay = useCallback(
    (context: CanvasRenderingContext2D, shown: Image2d) =>
      drawScene(context, shown, { sheet, diameter, box, sketch: sketch.current, cursor: cursor.current, hovered: null, boxes }),
    [sheet, diameter, box, boxes],
  );
  const bench = {
    desk, micrograph, tool, diameter, brush: brush * diameter, size,
    sketch: (next: Sketch) => {
      sketch.current = next;
      image.current?.redrawOver();
    },
  };
  const corrected = sheet?.state === "corrected";

  /** Do something about the whole picking once all edits are made and what was asked before is done, then look at what there is. */
  const act = (what: () => Promise<Picked>, at = micrograph): Promise<boolean> => {
    const done = turn.current.then(() => carryOut(what, at));
    turn.current = done;
    return done;
  };
  const carryOut = async (what: () => Promise<Picked>, at: number): Promise<boolean> => {
    try {
      await desk.settled();
      const done = await what();
      await desk.refresh(done.micrograph ?? at);
      if (typeof done.micrograph === "number" && done.micrograph !== micrograph) choose(done.micrograph);
      return true;
    } catch (error) {
      toastError(error);
      return false;
    }
  };
  const go = (step: number) => {
    const next = beside(order, micrograph, step);
    if (next !== undefined) choose(next);
  };
  const autopick = (id: number) => act(() => actions.autopick.mutateAsync(id), id);
  const does = {
    undo: () => void act(() => actions.undo.mutateAsync(desk.revision)),
    redo: () => void act(() => actions.redo.mutateAsync(desk.revision)),
    train: () => void act(() => actions.train.mutateAsync()),
    autopick: () => void autopick(micrograph),
    accept: () => void act(() => actions.accept.mutateAsync(micrograph)),
    reopen: () => void act(() => actions.reopen.mutateAsync(micrograph)),
    /** Accept this one and let the model pick the next that nobody has looked at. */
    acceptAndGoOn: async () => {
      if (!corrected && !(await act(() => actions.accept.mutateAsync(micrograph)))) return;
      const from = order.indexOf(micrograph);
      const open = (id: number) => picking.micrographs.find((each) => each.id === id)?.state === "available";
      const next = [...order.slice(from + 1), ...order.slice(0, from)].find(open);
      if (next === undefined) return toast("Every micrograph has been looked at.");
      choose(next);
      if (picking.trained) await autopick(next);
    },
    diameter: (value: number) => void act(() => actions.change.mutateAsync({ revision: desk.revision, diameter: value })),
    least: (value: number) => void act(() => actions.change.mutateAsync({ revision: desk.revision, least: value })),
    clearRegion: () => desk.edit(micrograph, { do: "region", region: null }),
    save: async () => {
      await desk.settled();
      actions.save.mutate(undefined, {
        onSuccess: () => {
          toast(`${run} goes on with ${counted(picking.count, "particle")}`, "good");
          navigate(to.run(project, run));
        },
        onError: toastError,
      });
    },
  };
  const onKey = usePickKeys({
    cursor, size, hovered, image, go, setTool, undo: does.undo, redo: does.redo, diameter,
    add: (place) => desk.edit(micrograph, { do: "add", picks: [desk.pick(place.x, place.y)] }),
    remove: (place, within) => removeNearest(desk, micrograph, place, within),
  });
  const learning = picking.learning || actions.train.isPending || actions.autopick.isPending || actions.accept.isPending;
  const columns = useMemo(() => columnsOf(picking), [picking]);
  const count = sheet?.picks.length ?? 0;
  const shownAt = hovered ?? cursor.current;
  return (
    <>
      <div className="analyze-head">
        <button type="button" className="button" onClick={() => navigate(to.run(project, run))}>
          <Icon name="back" /> Back to the project
        </button>
        <h1>
          Pick particles <span className="soft mono">{run}</span>
        </h1>
        <span className="grow" />
        <span className="soft" role="status">
          {counted(picking.count, "particle")} on {counted(picking.micrographs.filter((each) => each.manual + each.auto > 0).length, "micrograph")}
        </span>
        <button type="button" className="button" disabled={!picking.can_undo && desk.idle} title="Ctrl+Z" onClick={does.undo}>
          <Icon name="undo" /> Undo
        </button>
        <button type="button" className="button" disabled={!picking.can_redo} title="Ctrl+Shift+Z" onClick={does.redo}>
          <Icon name="redo" /> Redo
        </button>
        <button type="button" className="button main" disabled={picking.count === 0 || actions.save.isPending} onClick={() => void does.save()}>
          <Icon name="check" /> Save and finish
        </button>
      </div>
      <div className="mic-split">
        <div className="mic-side narrow">
          <MicrographTable label="Micrographs" ids={ids} columns={columns} chosen={chosen} onChoose={choose} onOrder={setOrder} />
        </div>
        <div className="mic-middle">
          <div className="mic-title">
            <Steps name={about?.name} onStep={go} />
            {sheet && <span className="soft">{STATES[sheet.state] ?? sheet.state}</span>}
            <span className="grow" />
            <span className="mono soft" role="note" aria-label="Place of the pointer, px">
              {shownAt && onImage(shownAt, size) ? `x ${shownAt.x.toFixed(1)}  y ${shownAt.y.toFixed(1)}` : ""}
            </span>
            <strong role="status" aria-label="Picks on this micrograph">
              {sheet ? counted(count, "pick") : ""}
            </strong>
          </div>
          <ImageCanvas
            ref={image} source={source} contrast={contrast} lowpass={lowpass} overlay={overlay}
            label={`Micrograph ${about?.name ?? ""}, ${counted(count, "pick")}. Arrows move the cursor, Enter picks, Delete removes the nearest pick, plus and minus zoom, PageUp and PageDown change the micrograph, Z undoes, Shift+Z redoes.`}
            onPress={(place, pointed) => {
              cursor.current = null;
              return press(bench, place, pointed);
            }}
            onClick={(place, pointed) => click(bench, place, pointed)}
            onHover={setHovered} onKey={onKey}
          />
        </div>
        <ToolPanel
          picking={picking} sheet={sheet} tool={tool} onTool={setTool} brush={brush} onBrush={setBrush} boxes={boxes} onBoxes={setBoxes} box={box}
          contrast={contrast} onContrast={setContrast} lowpass={lowpass} onLowpass={setLowpass} learning={learning} does={does}
        />
      </div>
    </>
  );
}

/** Take over what other tabs and programs have done. */
function useOthers(project: string, run: string, desk: Desk, micrograph: number, actions: ReturnType<typeof usePickingActions>): void {
  const busy = Object.values(actions).some((each) => each.isPending);
  const { data } = usePickingRevision(project, run, !actions.save.isPending && !actions.save.isSuccess);
  const revision = data?.revision;
  const { refetch } = usePicking(project, run);
  useEffect(() => {
    if (revision === undefined || busy || !desk.idle || revision === desk.revision) return;
    void desk.refresh(micrograph).catch(toastError);
    void refetch();
  }, [revision, busy, desk, micrograph, refetch]);
  // counts in the list follow one's own edits a moment later: they are no part of what an edit answers
  const sheet = useSyncExternalStore(desk.subscribe, () => desk.sheet(micrograph));
  useEffect(() => {
    const timer = setTimeout(() => desk.idle && void refetch(), 400);
    return () => clearTimeout(timer);
  }, [sheet, desk, refetch]);
}

function columnsOf({ micrographs }: Picking): Column[] {
  const names = micrographs.map((each) => each.name);
  const numbers = (name: "manual" | "auto", title: string, unit: string): Column => {
    const values = micrographs.map((each) => each[name]);
    return { name, title, width: "48px", values, unit, right: true, show: (row) => number(values[row]) };
  };
  const states = micrographs.map((each) => STATES[each.state] ?? each.state);
  return [
    { name: "name", title: "Name", width: "minmax(70px, 1fr)", values: names, show: (row) => <bdi title={names[row]}>{names[row]}</bdi> },
    numbers("manual", "Hand", "picks by hand"),
    numbers("auto", "Model", "picks of the model"),
    { name: "state", title: "State", width: "66px", values: states, show: (row) => <span className="soft">{states[row]}</span> },
  ];
}
