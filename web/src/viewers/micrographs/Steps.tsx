/** Which micrograph is looked at, and the way to those beside it. */

import { Icon } from "../../ui/Icon";

export function Steps({ name, onStep }: { name: string | undefined; onStep: (by: number) => void }) {
  return (
    <>
      <button type="button" className="button plain" aria-label="Previous micrograph" onClick={() => onStep(-1)}>
        <Icon name="back" />
      </button>
      <button type="button" className="button plain" aria-label="Next micrograph" onClick={() => onStep(1)}>
        <Icon name="forward" />
      </button>
      <strong title={name}>{name}</strong>
    </>
  );
}
