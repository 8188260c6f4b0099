"""Profiles as claims: created once, and again if the class of a claim without a volume was wrong."""

from __future__ import annotations

import pytest
from lightkube.models.core_v1 import PersistentVolumeClaimStatus
from lightkube.resources.core_v1 import PersistentVolumeClaim as Claim
from tests.support.kubernetes.in_memory import WithNodes

from greenroom.core.workspace.session_spec import Mount
from greenroom.runtimes.contract import RuntimeUnavailable, StartError
from greenroom.runtimes.kubernetes.homes import KubernetesHomes, claim_of
from greenroom.runtimes.kubernetes.names import PROFILE_FOLDER, ObjectOwner
from greenroom.runtimes.kubernetes.objects import annotations_of, metadata
from greenroom.runtimes.kubernetes.settings import KubernetesSettings

FOLDER = "/{homes}/11111111-1111-4111-8111-111111111111.22222222-2222-4222-8222-222222222222"
ME = ObjectOwner(installation_id="i", agent_id="a")
PROFILE = Mount(source=FOLDER, target="/home/kasm-user", profile="Enabled")
QUOTA_CHANGED = (
    'Kubernetes refused: Operation cannot be fulfilled on resourcequotas "greenroom": the object has been modified.'
)


def settings(storage_class: str) -> KubernetesSettings:
    return KubernetesSettings(kube_storage_class=storage_class)


async def prepared(objects: WithNodes, storage_class: str, mount: Mount = PROFILE) -> Claim:
    """The profile's claim after a session with it was prepared."""
    await KubernetesHomes(objects, ME, settings(storage_class)).prepare([mount])
    ((found,), _) = await objects.list(Claim)
    return found


def claim(asked: str, *, has: str | None = None, phase: str = "Pending", volume: str | None = None) -> Claim:
    made = claim_of(FOLDER, ME, settings(asked))
    assert made.spec is not None
    made.spec.storageClassName = has or asked or None
    made.spec.volumeName = volume
    made.status = PersistentVolumeClaimStatus(phase=phase)
    return made


async def test_a_profile_is_made_once_and_asks_for_the_class_of_the_settings():
    objects = WithNodes()
    made = await prepared(objects, "fast")
    assert made.spec is not None
    assert made.spec.storageClassName == "fast"
    assert metadata(await prepared(objects, "fast")).uid == metadata(made).uid
    assert (await prepared(WithNodes(), "")).spec == claim_of(FOLDER, ME, settings("")).spec


@pytest.mark.parametrize(
    ("there", "now"),
    [
        (claim("fsat"), "fast"),
        (claim("fsat"), ""),
        (claim("", has="standard"), "fast"),
    ],
)
async def test_a_claim_that_never_got_a_volume_is_replaced_when_the_class_is_another(there: Claim, now: str):
    objects = WithNodes()
    before = objects.put(there)
    after = await prepared(objects, now)
    assert metadata(after).uid != metadata(before).uid
    assert after.spec is not None
    assert after.spec.storageClassName == (now or None)


@pytest.mark.parametrize(
    ("there", "now"),
    [
        (claim("slow", phase="Bound", volume="pv-1"), "fast"),
        (claim("slow", volume="pv-1"), "fast"),
        (claim("slow", phase="Lost"), "fast"),
        (claim("fast"), "fast"),
        (claim("", has="standard"), ""),
    ],
)
async def test_a_claim_that_has_a_volume_or_the_right_class_stays(there: Claim, now: str):
    objects = WithNodes()
    before = objects.put(there)
    assert metadata(await prepared(objects, now)).uid == metadata(before).uid
    assert objects.deleted == []


async def test_a_profile_that_is_reset_is_a_new_claim():
    objects = WithNodes()
    before = objects.put(claim("fast", phase="Bound", volume="pv-1"))
    reset = Mount(source=FOLDER, target="/home/kasm-user", profile="Reset")
    assert metadata(await prepared(objects, "fast", reset)).uid != metadata(before).uid


async def test_a_conflict_that_is_none_of_names_is_tried_again():
    objects = WithNodes()
    objects.conflicts = [QUOTA_CHANGED]
    with pytest.raises(RuntimeUnavailable, match=r"has not been created yet\..*resourcequotas"):
        await prepared(objects, "fast")
    assert annotations_of(await prepared(objects, "fast"))[PROFILE_FOLDER] == FOLDER


async def test_a_claim_that_another_session_made_meanwhile_is_taken(monkeypatch: pytest.MonkeyPatch):
    objects = WithNodes()
    create = objects.create

    async def late(thing: Claim) -> Claim:
        objects.put(thing)
        return await create(thing)

    monkeypatch.setattr(objects, "create", late)
    assert annotations_of(await prepared(objects, "fast"))[PROFILE_FOLDER] == FOLDER


async def test_a_claim_of_that_name_that_is_anothers_is_left_alone():
    objects, there = WithNodes(), claim("fast")
    annotations_of(there)[PROFILE_FOLDER] = "/theirs"
    objects.put(there)
    with pytest.raises(StartError, match="does not belong to the profile"):
        await prepared(objects, "fast")
