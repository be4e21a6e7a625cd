"""GitLab's answers, with the fields that its documentation shows."""

from datetime import timedelta

from tests.fakes.gitlab_state import (
    BEGAN,
    ME,
    CarState,
    JobState,
    Json,
    MergeRequestState,
    PipelineState,
    ProjectState,
)

PREMIUM = ("merge_pipelines_enabled", "merge_trains_enabled", "merge_trains_skip_train_allowed")


def user(account: Json) -> Json:
    return {**account, "avatar_url": None, "web_url": f"https://gitlab.com/{account['username']}"}


def project(state: ProjectState, *, edition: str) -> Json:
    """Without Premium the settings of trains are not there."""
    told = {key: value for key, value in state.settings.items() if edition == "ee" or key not in PREMIUM}
    return {
        "id": state.id, "name": state.path.rpartition("/")[2], "path_with_namespace": state.path,
        "default_branch": "main", "visibility": "private", "web_url": f"https://gitlab.com/{state.path}",
        "only_allow_merge_if_pipeline_succeeds": True, "merge_commit_template": None,
        "permissions": {"project_access": {"access_level": 40}, "group_access": None},
        **told,
    }  # fmt: skip


def merge_request(state: ProjectState, seen: MergeRequestState) -> Json:
    opened = (BEGAN + timedelta(minutes=seen.iid)).isoformat()
    merged = seen.state == "merged"
    return {
        "id": 1000 * state.id + seen.iid, "iid": seen.iid, "project_id": state.id, "title": seen.title,
        "description": seen.body, "state": seen.state, "created_at": opened, "updated_at": opened,
        "merged_at": opened if merged else None, "merge_user": user(ME) if merged else None,
        "target_branch": seen.target, "source_branch": seen.branch, "author": user(seen.author),
        "source_project_id": 666 if seen.fork else state.id, "target_project_id": state.id, "labels": [],
        "draft": seen.title.startswith("Draft:"), "merge_when_pipeline_succeeds": seen.waits,
        "merge_status": "can_be_merged", "detailed_merge_status": seen.status, "sha": seen.sha,
        "merge_commit_sha": seen.merge_commit, "squash_commit_sha": seen.squash_commit, "squash": seen.squash,
        "has_conflicts": seen.status == "conflict", "blocking_discussions_resolved": True,
        "web_url": f"https://gitlab.com/{state.path}/-/merge_requests/{seen.iid}",
    }  # fmt: skip


def pipeline(state: ProjectState, made: PipelineState) -> Json:
    at = BEGAN + timedelta(seconds=made.id)
    return {
        "id": made.id, "iid": made.id, "project_id": state.id, "sha": made.sha, "ref": made.ref,
        "status": made.status, "source": made.source, "created_at": at.isoformat(),
        "updated_at": max(
            [at + timedelta(seconds=42), *(job.ended for job in made.jobs if job.ended)]
        ).isoformat(),
        "web_url": f"https://gitlab.com/{state.path}/-/pipelines/{made.id}",
    }  # fmt: skip


def job(state: ProjectState, made: PipelineState, each: JobState) -> Json:
    at = BEGAN + timedelta(seconds=each.id)
    ended, waits = each.status in ("success", "failed", "canceled"), each.status in ("manual", "created")
    began, until = each.began or at, each.ended or at + timedelta(seconds=9.5)
    document = {
        "id": each.id, "name": each.name, "stage": "test", "status": each.status, "ref": made.ref,
        "allow_failure": each.allow_failure, "created_at": at.isoformat(),
        "started_at": None if waits else began.isoformat(), "erased_at": None,
        "finished_at": until.isoformat() if ended else None,
        "duration": (until - began).total_seconds() if ended else None,
        "queued_duration": 0.1, "user": user(ME), "runner": None,
        "commit": {"id": made.sha, "short_id": made.sha[:8], "title": "work"}, "artifacts": [],
        "pipeline": {"id": made.id, "project_id": state.id, "ref": made.ref, "sha": made.sha,
                     "status": made.status},
        "web_url": f"https://gitlab.com/{state.path}/-/jobs/{each.id}",
    }  # fmt: skip
    if each.id in state.archives:
        document["artifacts_file"] = {"filename": "artifacts.zip", "size": len(state.archives[each.id])}
    return document | ({"failure_reason": each.reason} if each.status == "failed" else {})


def test_report(suites: dict[str, list[Json]]) -> Json:
    """Of a name the first case only: https://docs.gitlab.com/api/pipelines/#get-a-test-report-for-a-pipeline."""
    shown = []
    for name, cases in suites.items():
        first = {(each["classname"], each["name"]): each for each in reversed(cases)}
        found = [
            {
                "file": None, "execution_time": 0.5, "system_output": None, "stack_trace": None,
                "recent_failures": {"count": 3, "base_branch": "main"}, **case,
            }
            for case in reversed(first.values())
        ]  # fmt: skip
        counts = {
            f"{status}_count": sum(case["status"] == status for case in found)
            for status in ("success", "failed", "skipped", "error")
        }
        shown.append(
            {"name": name, "total_time": 1.0, "total_count": len(found), **counts, "suite_error": None,
             "test_cases": found}
        )  # fmt: skip
    return {"total_time": 5, "total_count": sum(each["total_count"] for each in shown), "test_suites": shown}


def job_as_status(state: ProjectState, made: PipelineState, each: JobState) -> Json:
    """GitLab lists its jobs among a commit's statuses."""
    shown = job(state, made, each)
    known = ("id", "name", "status", "created_at", "started_at", "finished_at", "allow_failure", "ref")
    return {
        **{key: shown[key] for key in known}, "sha": made.sha, "description": None, "coverage": None,
        "target_url": shown["web_url"], "author": user(ME), "pipeline_id": made.id,
    }  # fmt: skip


def car(state: ProjectState, riding: CarState) -> Json:
    seen = merge_request(state, state.merge_request(riding.iid))
    basic = (
        "id",
        "iid",
        "project_id",
        "title",
        "description",
        "state",
        "created_at",
        "updated_at",
        "web_url",
    )
    merged = riding.status == "merged"
    return {
        "id": riding.id, "merge_request": {key: seen[key] for key in basic}, "user": user(ME),
        "pipeline": pipeline(state, riding.pipeline) if riding.pipeline else None,
        "created_at": BEGAN.isoformat(), "updated_at": BEGAN.isoformat(), "status": riding.status,
        "target_branch": seen["target_branch"], "merged_at": BEGAN.isoformat() if merged else None,
        "duration": 70 if merged else None,
    }  # fmt: skip
