/** A slice of a map. */

import { useSlice, type Choice } from "../../api/volumes";
import { PlanePicture, type PlaneLook } from "./PlanePicture";

interface Props extends PlaneLook {
  project: string;
  output: string;
  choice: Choice;
  title?: string;
}

export function SlicePane({ project, output, choice, title, ...look }: Props) {
  const { data, error } = useSlice(project, output, choice, look.axis, look.spot[look.axis]);
  return <PlanePicture title={title ?? `across ${look.axis}`} data={data} error={error} {...look} />;
}
