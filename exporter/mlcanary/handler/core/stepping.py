"""Where a release goes next: pure, total, and the same answer for the same input.

    staged   nothing speaks against it, the ground is right            -> the first step
             its artefact is quarantined                               -> dropped
    step     the split is set; since then `min_trials` requests were judged,
             and the judge lets the candidate have more                -> the next step
             the next one is all traffic: the judge calls it not worse -> the last step
             all traffic is set                                        -> soak
    soak     `soak` seconds, with traffic and nothing against it,
             and the target can be read                                -> proven
    hold     nothing speaks against it any more                        -> what it interrupted
    any      something speaks against it                               -> hold, with the same weights

Guarantee: a step is left on evidence that is younger than its split, never on time alone; steps are not skipped; the
share falls by nothing here: a rollback is the incident's, an unhealthy word only holds. Missing data is neither good
nor bad: it holds.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum

from mlcanary.handler.core.judgement import Judgement, Word
from mlcanary.handler.core.machines import ReleaseState
from mlcanary.handler.core.releases import FreezeLevel, Release
from mlcanary.handler.core.staging import Room
from mlcanary.handler.settings import Steps
from mlcanary.handler.targets.contract import State

UNCOUNTED = float("inf")
"""Trials at the begin of a step of which the judge has judged nothing yet."""


class Against(StrEnum):
    """What keeps a release where it is."""

    MODE = "mode"
    FROZEN = "frozen"
    QUARANTINED = "quarantined"
    INCIDENT = "incident"
    NO_EVIDENCE = "no_evidence"
    SOURCE_BROKEN = "source_broken"
    ROLE_CONFLICT = "role_conflict"
    ALERT = "alert"
    UNHEALTHY = "unhealthy"
    NO_DATA = "no_data"
    SUSPENDED = "suspended"
    NOT_SERVING = "not_serving"
    REFUSED = "refused"
    COOLDOWN = "cooldown"
    UNOBSERVED = "unobserved"
    OTHER_TRAFFIC = "other_traffic"
    OWNED = "owned"
    NO_CAPACITY = "no_capacity"
    COLLECTING = "collecting"
    NOT_YET_HEALTHY = "not_yet_healthy"
    SOAKING = "soaking"


@dataclass(frozen=True, slots=True)
class Standing:
    """What the handler itself knows.

    `drives`: the target has mode drive and still the versions and the step of the release. `incident`: one is open on
    the target. `resting`: cooldown or budget would keep an automatic rollback off, so nothing new is begun. `silence`:
    seconds since evidence last came, 0 if it came now; for `patience` seconds silence and missing data are waited for.
    """

    drives: bool = True
    level: FreezeLevel = FreezeLevel.NONE
    quarantined: bool = False
    incident: bool = False
    resting: bool = False
    silence: float = 0.0
    patience: float = 120.0


@dataclass(frozen=True, slots=True)
class Ground:
    """What the target and its servers tell: the split, who else writes it, what the candidate can take.

    `seen` is None if it cannot be read, `owner` "" if none is known. `room` is None where nobody declared a capacity;
    `unread` says why it could not be read.
    """

    seen: State | None
    owner: str = ""
    room: Room | None = None
    unread: str = ""


@dataclass(frozen=True, slots=True)
class Stay:
    """Nothing to do: this is waited for."""

    against: Against
    text: str


@dataclass(frozen=True, slots=True)
class Advance:
    """Give the candidate the traffic of this step; of the present one where its split was never set."""

    step: int
    text: str


@dataclass(frozen=True, slots=True)
class Count:
    """Requests of the step count from here on: what the judge had judged of the candidate by its begin."""

    trials: float


@dataclass(frozen=True, slots=True)
class Soak:
    """All traffic is set: watch it."""


@dataclass(frozen=True, slots=True)
class Prove:
    """The candidate is the proven version."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep the weights; this speaks against going on."""

    against: Against
    text: str


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on where the hold began."""

    state: ReleaseState


@dataclass(frozen=True, slots=True)
class Drop:
    """A staged release that may never begin."""

    text: str


Decision = Stay | Advance | Count | Soak | Prove | Hold | Resume | Drop


def decide(
    release: Release, judgement: Judgement | None, standing: Standing, ground: Ground, steps: Steps, now: float
) -> Decision:
    """Where the release goes. Input: `judgement` is None while evidence cannot be had; `now` in Unix seconds."""
    found = _decide(release, judgement, standing, ground, steps, now)
    short = _short(release, found.step, ground, steps) if isinstance(found, Advance) else ""
    return Stay(Against.NO_CAPACITY, short) if short else found


def _decide(
    release: Release, judgement: Judgement | None, standing: Standing, ground: Ground, steps: Steps, now: float
) -> Decision:
    if release.state is ReleaseState.STAGED or (release.state is ReleaseState.HOLD and release.step < 0):
        return _begin(release, judgement, standing, ground, steps)
    if release.state not in (ReleaseState.STEP, ReleaseState.HOLD, ReleaseState.SOAK):
        return Stay(Against.INCIDENT, f"the incident has it: {release.state}")
    full = release.step >= len(steps.steps) - 1
    objection = _objection(release, judgement, standing, full=full, now=now)
    if release.state is ReleaseState.HOLD:
        return _resume(release, objection, standing, now)
    if objection is not None:
        waits = objection.against is Against.NO_EVIDENCE and standing.silence <= standing.patience
        return Stay(objection.against, objection.text) if waits else objection
    soaks = release.state is ReleaseState.SOAK
    return _soak(release, ground, steps, now) if soaks else _step(release, judgement, steps)


def overdue(release: Release, steps: Steps, now: float) -> bool:
    """Whether a person must be told, once, that the release waits for too long."""
    waits = release.state in (ReleaseState.STAGED, ReleaseState.STEP, ReleaseState.HOLD)
    return waits and release.told == 0 and now - release.since >= steps.hold_deadline


def share(release: Release, steps: Steps) -> float:
    """Share of the traffic that the step gives the candidate, in [0, 1]."""
    return steps.steps[min(release.step, len(steps.steps) - 1)] / 100 if release.step >= 0 else 0.0


def split(release: Release, step: int, steps: Steps, versions: tuple[str, ...]) -> State:
    """The weights of a step."""
    return State.split(release.candidate, steps.steps[step] / 100, release.stable, versions)


def refuse_promotion(
    release: Release, judgement: Judgement | None, standing: Standing, ground: Ground, steps: Steps, *, forced: bool
) -> str:
    """Why a person's "all traffic now" is refused, "" if it is not. A freeze does not stop it.

    Forced, neither the judge nor the capacity is asked; quarantine and an open incident are.
    """
    full = release.step >= len(steps.steps) - 1
    if release.state not in (ReleaseState.STEP, ReleaseState.HOLD) or (release.effect == 0 and not full):
        return f"the release is {release.state}, and has no split that was confirmed"
    if full and release.effect > 0:
        return f"{release.candidate} has all traffic already"
    own = _of_handler(dataclasses.replace(standing, level=FreezeLevel.NONE))
    if own is not None:
        return own.text
    if forced:
        return ""
    found = _of_ground(release, judgement)
    if found is None and not _healthy(judgement):
        word = judgement.word if judgement is not None else Word.NO_DATA
        found = Hold(Against.NOT_YET_HEALTHY, f"the judge says {word}")
    text = found.text if found is not None else _short(release, len(steps.steps) - 1, ground, steps)
    return f"{text}; to do it all the same, order it with force and a reason" if text else ""


# --- before the first step


def _begin(release: Release, judgement: Judgement | None, standing: Standing, ground: Ground, steps: Steps) -> Decision:
    if standing.quarantined and release.state is ReleaseState.STAGED:
        return Drop(f"artefact {release.digest} is quarantined")
    objection = _of_handler(standing) or _of_ground(release, judgement)
    if objection is None and standing.resting:
        text = "cooldown or budget would keep a rollback off"
        objection = Hold(Against.COOLDOWN, text)
    objection = objection or _of_target(release, ground, steps)
    if objection is None and len(steps.steps) == 1 and not _healthy(judgement):
        objection = Hold(Against.NOT_YET_HEALTHY, "the only step is all traffic, and the judge does not call it good")
    if objection is not None:
        return Stay(objection.against, objection.text)
    return Advance(0, "the precheck passed")


def _of_target(release: Release, ground: Ground, steps: Steps) -> Hold | None:
    if ground.seen is None:
        return Hold(Against.UNOBSERVED, "the target cannot be read")
    if ground.seen.weight(release.stable) == 0:
        return Hold(Against.OTHER_TRAFFIC, f"{release.stable} has no traffic")
    others = [v for v, weight in ground.seen.weights if weight and v not in (release.candidate, release.stable)]
    if others:
        return Hold(Against.OTHER_TRAFFIC, f"{', '.join(others)} has traffic beside {release.stable}")
    if ground.seen.share(release.candidate) > steps.steps[0] / 100:
        text = f"{release.candidate} has more traffic than the first step gives: take it away"
        return Hold(Against.OTHER_TRAFFIC, text)
    return Hold(Against.OWNED, f"{ground.owner} writes the target too") if ground.owner else None


def _short(release: Release, step: int, ground: Ground, steps: Steps) -> str:
    """Why the candidate's servers cannot take a step, "" if they can or nobody declared what they can take."""
    if ground.unread:
        return f"nobody can tell what {release.candidate} can take: {ground.unread}"
    wanted = steps.steps[step] / 100
    can = wanted if ground.room is None else ground.room.share(release.candidate)
    return "" if wanted <= can else f"{release.candidate} has servers for {can:.1%} of the traffic, not {wanted:.0%}"


# --- under way


def _objection(
    release: Release, judgement: Judgement | None, standing: Standing, *, full: bool, now: float
) -> Hold | None:
    """The first thing that speaks against going on."""
    found = _of_handler(standing) or _of_ground(release, judgement)
    early = release.state is not ReleaseState.SOAK and now - (release.effect or release.since) <= standing.patience
    if found is not None or judgement is None or early:  # so early the judge can have seen nothing of the step
        return found
    return _of_traffic(release, judgement) if full else _of_word(judgement)


def _of_traffic(release: Release, judgement: Judgement) -> Hold | None:
    """At full traffic nothing is compared, as the baseline has none: the judge must live, the traffic must come."""
    if not judgement.known:
        return Hold(Against.NO_DATA, judgement.why)
    serves = release.candidate in judgement.serving
    return None if serves else Hold(Against.NOT_SERVING, f"{release.candidate} predicts nothing")


def _of_word(judgement: Judgement) -> Hold | None:
    if judgement.word is Word.NO_DATA:
        return Hold(Against.NO_DATA, judgement.why)
    suspended = judgement.word is Word.INCONCLUSIVE and judgement.gates
    return Hold(Against.SUSPENDED, f"the judge is suspended: {', '.join(judgement.gates)}") if suspended else None


def _of_handler(standing: Standing) -> Hold | None:
    if not standing.drives:
        return Hold(Against.MODE, "not in mode drive, or its versions, digests or steps were changed since")
    if standing.level is not FreezeLevel.NONE:
        return Hold(Against.FROZEN, f"frozen: {standing.level}")
    if standing.quarantined:
        return Hold(Against.QUARANTINED, "the artefact is quarantined")
    return Hold(Against.INCIDENT, "an incident is open") if standing.incident else None


def _of_ground(release: Release, judgement: Judgement | None) -> Hold | None:
    if judgement is None:
        return Hold(Against.NO_EVIDENCE, "Prometheus does not answer")
    if not judgement.sources_up:
        return Hold(Against.SOURCE_BROKEN, "a source of the model cannot be read")
    conflict = _conflict(release, judgement.roles)
    if conflict:
        return Hold(Against.ROLE_CONFLICT, conflict)
    if judgement.word is Word.UNHEALTHY:
        return Hold(Against.UNHEALTHY, f"the judge says that {release.candidate} is worse")
    if judgement.firing:
        return Hold(Against.ALERT, f"alerts that ask for a rollback: {', '.join(judgement.firing)}")
    return None


def _conflict(release: Release, roles: tuple[tuple[str, str], ...]) -> str:
    for version, wanted in ((release.stable, "baseline"), (release.candidate, "canary")):
        held = sorted({role for name, role in roles if name == version})
        if held != [wanted]:
            return f"{version} has the role {' and '.join(held) or 'of nobody'}, and should be {wanted}"
    baselines = sorted({name for name, role in roles if role == "baseline"})
    return f"{' and '.join(baselines)} are all called the baseline" if len(baselines) > 1 else ""


def _healthy(judgement: Judgement | None) -> bool:
    return judgement is not None and judgement.word is Word.HEALTHY


def _resume(release: Release, objection: Hold | None, standing: Standing, now: float) -> Decision:
    if objection is not None:
        return Stay(objection.against, objection.text)
    if release.effect == 0 and 0 <= now - release.since < standing.patience:
        return Stay(Against.REFUSED, f"the split is tried again later: {release.note}")
    soaked = release.resume == ReleaseState.SOAK
    return Resume(ReleaseState.SOAK if soaked else ReleaseState.STEP)


def _soak(release: Release, ground: Ground, steps: Steps, now: float) -> Decision:
    """Whether the soak is over. A clock that went back makes it longer, never shorter."""
    left = release.since + steps.soak - now
    if left <= 0 and ground.seen is None:  # another writer may have taken the traffic away
        return Stay(Against.UNOBSERVED, "the soak is over, but the target cannot be read")
    return Prove() if left <= 0 else Stay(Against.SOAKING, f"{left:.0f} s of the soak are left")


def _step(release: Release, judgement: Judgement | None, steps: Steps) -> Decision:
    full = release.step >= len(steps.steps) - 1
    if release.effect > 0:
        return Soak() if full else _evidence(release, judgement, steps)
    if full and not _healthy(judgement):  # it was when this step was decided; or a person asked, and asks again
        return Stay(Against.NOT_YET_HEALTHY, "all traffic is not set, and the judge no longer says promote")
    return Advance(release.step, "the split of this step is not set yet")


def _evidence(release: Release, judgement: Judgement | None, steps: Steps) -> Decision:
    """Whether the step has seen enough."""
    if judgement is None or not judgement.known or judgement.judged <= release.effect:
        return Stay(Against.COLLECTING, "the judge has judged nothing of this step yet")
    if judgement.trials < release.trials:  # the first look, or a judge that began anew
        return Count(judgement.trials)
    got, following = judgement.trials - release.trials, release.step + 1
    if got < steps.min_trials:
        return Stay(Against.COLLECTING, f"{got:.0f} of {steps.min_trials} requests judged in this step")
    if judgement.word not in (Word.HEALTHY, Word.INCONCLUSIVE) or not judgement.may_expand:
        return Stay(Against.COLLECTING, f"{got:.0f} requests judged, the judge does not allow more traffic yet")
    if following == len(steps.steps) - 1 and not _healthy(judgement):
        eta = "" if judgement.eta is None else f", in about {judgement.eta:.0f} s"
        return Stay(Against.NOT_YET_HEALTHY, f"all traffic only once the judge says promote{eta}")
    return Advance(following, f"{got:.0f} requests judged in this step, the judge says {judgement.word}")
