/** A circle on a mean image, for masks and backgrounds. */

import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import type { SizeWizard } from "../../api/schema";
import { Measure } from "./Measure";
import { Slider, WizardDialog } from "./WizardDialog";

interface Props {
  title: string;
  query: UseQueryResult<SizeWizard>;
  /** Å. */
  radius: number;
  onRadius: (radius: number) => void;
  result: string;
  onUse: () => void;
  onClose: () => void;
  children: ReactNode;
}

export function RoundMask({ title, query, radius, onRadius, result, onUse, onClose, children }: Props) {
  const found = query.data;
  const pixel = found?.picture.pixel_size ?? 1;
  const most = found ? (found.picture.width / 2) * pixel : 1;
  return (
    <WizardDialog title={title} query={query} what="the images" result={result} onUse={onUse} onClose={onClose}>
      {found && (
        <div className="wizard-body">
          <Measure
            picture={found.picture}
            label={`${found.name} with a circle of ${radius.toFixed(0)} Å radius`}
            shapes={[
              { kind: "circle", tone: "first", radius: radius / pixel, onRadius: (pixels) => onRadius(Math.min(pixels * pixel, most)) },
              ...(found.diameter ? [{ kind: "circle", tone: "faint", radius: found.diameter / 2 / pixel } as const] : []),
            ]}
          />
          <div className="wizard-side">
            <p className="soft">{found.name}</p>
            {children}
            <Slider label="Radius" unit="Å" value={radius} min={5} max={Math.ceil(most)} step={0.5} told={`${(radius / pixel).toFixed(1)} px of ${pixel.toFixed(3)} Å; diameter ${(2 * radius).toFixed(0)} Å`} onChange={onRadius} />
          </div>
        </div>
      )}
    </WizardDialog>
  );
}
