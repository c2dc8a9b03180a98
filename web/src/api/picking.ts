/** Picking by hand: the picking as a whole, its micrographs' picks, edits, and the model. */

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Changed, type Done, type Told, type Transport } from "../viewers/picker/desk";
import type { Edit, Pick } from "../viewers/picker/edits";
import { ApiError, at, get, send } from "./client";
import type { Made, Picked, Picking, PickingRevision, Picks } from "./schema";

const LOOK = 2000;

const base = (project: string, run: string) => `${at.run(project, run)}/picking`;

export const usePicking = (project: string, run: string) =>
  useQuery({ queryKey: ["picking", project, run], queryFn: ({ signal }) => get<Picking>(base(project, run), {}, signal), staleTime: 0 });

/** The number of the last change, looked at again and again: other tabs and programs edit, too. */
export const usePickingRevision = (project: string, run: string, wanted: boolean) =>
  useQuery({
    queryKey: ["picking-revision", project, run],
    queryFn: ({ signal }) => get<PickingRevision>(`${base(project, run)}/revision`, {}, signal),
    refetchInterval: LOOK,
    enabled: wanted,
  });

function told({ revision, picks, region, state }: Picks): Told {
  const rows = picks.map(([number, x, y, score]): Pick => ({ number, x, y, score }));
  return { revision, picks: rows, region, state };
}

/** Edits as the server takes them. */
function body(edit: Edit): Record<string, unknown> {
  switch (edit.do) {
    case "add":
      return { do: "add", places: edit.picks.map(({ x, y }) => [x, y]) };
    case "remove":
      return { do: "remove", numbers: edit.numbers };
    case "move":
      return { do: "move", numbers: [edit.number], places: [[edit.x, edit.y]] };
    case "region":
      return { do: "region", region: edit.region };
  }
}

export function pickingTransport(project: string, run: string): Transport {
  const sheet = (micrograph: number) => `${base(project, run)}/sheets/${micrograph}`;
  return {
    load: async (micrograph) => told(await get<Picks>(sheet(micrograph))),
    async edit(micrograph, revision, edit): Promise<Done> {
      try {
        return await send<Picked>("PUT", sheet(micrograph), { revision, ...body(edit) });
      } catch (error) {
        if (error instanceof ApiError && error.status === 409 && error.told) throw new Changed(told((error.told as { current: Picks }).current));
        throw error;
      }
    },
  };
}

export function usePickingActions(project: string, run: string) {
  const client = useQueryClient();
  const path = base(project, run);
  const onSettled = () => client.invalidateQueries({ queryKey: ["picking", project, run] });
  const onSheet = (what: "autopick" | "accept" | "reopen") => (micrograph: number) => send<Picked>("POST", `${path}/sheets/${micrograph}/${what}`);
  return {
    change: useMutation({ mutationFn: (wanted: { revision: number; diameter?: number; least?: number }) => send<Picked>("PATCH", path, wanted), onSettled }),
    undo: useMutation({ mutationFn: (revision: number) => send<Picked>("POST", `${path}/undo`, { revision }), onSettled }),
    redo: useMutation({ mutationFn: (revision: number) => send<Picked>("POST", `${path}/redo`, { revision }), onSettled }),
    train: useMutation({ mutationFn: () => send<Picked>("POST", `${path}/train`), onSettled }),
    autopick: useMutation({ mutationFn: onSheet("autopick"), onSettled }),
    accept: useMutation({ mutationFn: onSheet("accept"), onSettled }),
    reopen: useMutation({ mutationFn: onSheet("reopen"), onSettled }),
    save: useMutation({
      mutationFn: () => send<Made>("POST", `${path}/save`),
      onSuccess: () => client.invalidateQueries({ queryKey: ["run", project, run] }),
    }),
  };
}
