"""The fixed list of faults: each a mistake that somebody could make here, and whose harm callers would bear."""

from dataclasses import dataclass

__all__ = ["MUTANTS", "Mutant"]

_CORE = "tests/core/"
_SAFETY = "tests/mutants/test_safety.py::"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One fault: a place in the source, and the tests that have to fail because of it."""

    name: str
    file: str
    """Its path below `src/rerankd`."""
    old: str
    """The exact text, which stands in the file once."""
    new: str
    tests: tuple[str, ...]
    """Node ids for pytest."""


def _of(file: str, name: str, old: str, new: str, *tests: str) -> Mutant:
    return Mutant(name=name, file=file, old=old, new=new, tests=tests)


_RANKING = (
    _of(
        "core/ranking.py",
        "unscored candidates lose their slot",
        """    for slot, position in zip(slots, best_first, strict=True):
        result[slot] = position
    return result""",
        "    return best_first + [i for i in result if i not in slots]",
        _CORE + "test_ranking.py::test_an_unscored_candidate_keeps_exactly_its_own_slot",
    ),
    _of(
        "core/ranking.py",
        "ties are turned round",
        "key=lambda i: -logits[i])",
        "key=lambda i: (-logits[i], -i))",
        _CORE + "test_ranking.py::"
        "test_scored_candidates_fill_the_slots_of_scored_ones_best_first_and_ties_in_retrieval_order",
    ),
    _of(
        "core/ranking.py",
        "a NaN is sorted like a score",
        "return value is not None and math.isfinite(value)",
        "return value is not None",
        _CORE + "test_ranking.py::test_a_value_that_is_not_finite_counts_as_no_score",
    ),
    _of(
        "core/ranking.py",
        "min_score removes unscored candidates",
        "return score is not None and score < low",
        "return score is None or score < low",
        _CORE + "test_ranking.py::test_min_score_removes_scored_candidates_only_and_then_top_k_cuts",
    ),
    _of(
        "core/answer.py",
        "a probability is squashed again",
        'ranking.sigmoid(logit) if activation == "sigmoid" else logit',
        "ranking.sigmoid(logit)",
        _CORE + "test_answer.py::test_a_probability_is_not_squashed_again",
    ),
    _of(
        "core/job.py",
        "a NaN counts as a scored candidate",
        "if not math.isfinite(logit):",
        "if math.isinf(logit):",
        _CORE + "test_job.py::test_a_candidate_is_given_up_when_one_of_its_chunks_has_no_number",
    ),
    _of(
        "core/request.py",
        "duplicate ids are accepted",
        "if first != position:",
        "if first > position:",
        _CORE + "test_request.py::test_a_wrong_argument_is_named_with_what_was_seen_and_never_with_a_text",
    ),
)

_SCHEDULING = (
    _of(
        "core/scheduler.py",
        "admission ignores the budget",
        "if now >= job.deadline or now + needed > job.deadline:",
        "if now >= job.deadline:",
        _CORE + "test_scheduler.py::test_a_budget_in_which_not_even_the_smallest_pair_fits_is_refused",
    ),
    _of(
        "core/scheduler.py",
        "admission ignores the queue",
        "return Reason.OVERLOADED if full or now + delay + needed > job.deadline else None",
        "return Reason.OVERLOADED if full else None",
        _CORE
        + "test_scheduler.py::test_a_request_behind_which_the_queue_leaves_no_time_is_refused_as_overload",
    ),
    _of(
        "core/scheduler.py",
        "the queue has no end",
        "full = waiting_pairs > 0 and",
        "full = waiting_pairs < 0 and",
        _CORE + "test_scheduler.py::test_a_full_queue_is_overload",
    ),
    _of(
        "core/scheduler.py",
        "a pair is begun that cannot end in time",
        "elif now + lane.costs.run([item.pair.tokens], now) > job.deadline:",
        "elif now > job.deadline:",
        _CORE
        + "test_scheduler.py::test_a_pair_that_cannot_end_in_time_never_starts_and_shorter_ones_after_it_do",
    ),
    _of(
        "core/scheduler.py",
        "texts are encoded that cannot be scored any more",
        "if now + seconds + costs.run([shortest], now) > job.deadline:",
        "if now > job.deadline:",
        _CORE + "test_scheduler.py::test_what_could_not_be_scored_after_it_is_not_encoded",
    ),
    _of(
        "core/scheduler.py",
        "one request's rest goes before another one's head",
        "places.append(((1, job.deadline, job.number), job, rest))",
        "places.append(((0, job.deadline, job.number), job, rest))",
        _CORE + "test_scheduler.py::test_all_heads_go_before_anybodys_rest",
    ),
    _of(
        "core/scheduler.py",
        "a short list of scores is taken for all",
        "zip(run.items, logits, strict=True)",
        "zip(run.items, logits, strict=False)",
        _SAFETY + "test_the_queue_takes_no_list_of_scores_that_is_too_short_or_too_long",
    ),
    _of(
        "core/scheduler.py",
        "an overrun is not noticed at the deadline",
        "job.close(overran=self.overran(now, job.lane))",
        "job.close(overran=False)",
        _CORE + "test_scheduler.py::test_a_job_closed_while_a_run_is_overrun_knows_whom_to_blame",
    ),
    _of(
        "core/scheduler.py",
        "who waits behind a hang does not blame it",
        "job.overran = job.overran or job.lane == lane",
        "job.overran = job.overran or (job.begun and job.lane == lane)",
        _SAFETY + "test_whoever_waits_while_work_is_given_up_as_hung_blames_the_scorer",
    ),
    _of(
        "core/job.py",
        "a late score changes a closed job",
        "return not (self.closed or self._resolved[item.candidate])",
        "return not self._resolved[item.candidate]",
        _CORE + "test_scheduler.py::test_nothing_changes_a_closed_job",
    ),
    _of(
        "core/work.py",
        "a hang hides behind overload",
        "return max(0.0, self.ends - now)",
        "return max(0.0, self.overrun_at - now)",
        _CORE
        + "test_scheduler.py::test_a_run_that_is_overdue_counts_as_ending_now_or_a_hang_would_hide_behind_overload",
    ),
    _of(
        "core/estimate.py",
        "a slow spell is never forgotten",
        "return 1.0 + (self._slowness - 1.0) * math.exp2(-self._age_ms(now) / self._policy.half_life_ms)",
        "return self._slowness",
        _CORE + "test_scheduler.py::test_one_slow_spell_does_not_refuse_everything_for_ever",
    ),
    _of(
        "core/batch.py",
        "pairs share a run although that changes their scores",
        "grouped = traits.batch_invariant and traits.max_batch_tokens > 0",
        "grouped = traits.max_batch_tokens > 0",
        _CORE + "test_scheduler.py::test_where_company_changes_scores_or_gains_nothing_pairs_run_alone",
    ),
    _of(
        "core/batch.py",
        "out of memory does not make runs smaller",
        "self.pairs = max(1, min(self.pairs, pairs // 2))",
        "self.pairs = max(1, min(self.pairs, pairs))",
        _CORE + "test_scheduler.py::"
        "test_out_of_memory_queues_the_pairs_again_in_front_in_retrieval_order_and_halves_the_limit",
    ),
    _of(
        "core/request.py",
        "no guard before the deadline",
        "return 0.0 if budget_ms is None else min(self.guard_ms, budget_ms / 4) / 1000",
        "return 0.0",
        _CORE
        + "test_request.py::test_a_caller_wakes_a_little_before_its_deadline_and_less_for_a_tiny_budget",
    ),
)

_CIRCUIT = (
    _of(
        "core/conclusion.py",
        "a failing scorer is not judged",
        "return Verdict.BAD if job.errors or job.nonfinite or job.overran else Verdict.UNJUDGED",
        "return Verdict.UNJUDGED",
        _CORE + "test_conclusion.py::test_falling_short_of_the_head_is_bad_only_where_the_scorer_is_to_blame",
    ),
    _of(
        "core/conclusion.py",
        "load is booked as a failure",
        "return Verdict.BAD if job.errors or job.nonfinite or job.overran else Verdict.UNJUDGED",
        "return Verdict.BAD",
        _CORE + "test_conclusion.py::test_falling_short_of_the_head_is_bad_only_where_the_scorer_is_to_blame",
    ),
    _of(
        "core/conclusion.py",
        "all or nothing gives some",
        'if depth == 0 or on_deadline == "retrieval":',
        "if depth == 0:",
        _CORE + "test_conclusion.py::test_where_all_or_nothing_was_asked_for_some_is_nothing",
    ),
    _of(
        "core/breaker.py",
        "a stale permit counts",
        "if permit._generation != self._generation:",
        "if permit.probe and permit._generation != self._generation:",
        _CORE + "test_breaker.py::test_a_permit_from_before_the_opening_changes_nothing_afterwards",
    ),
    _of(
        "core/breaker.py",
        "a permit ends twice",
        "if permit.ended:",
        "if permit.ended and permit.probe:",
        _CORE + "test_breaker.py::test_a_second_end_changes_nothing",
    ),
    _of(
        "core/breaker.py",
        "a lost probe keeps it half-open for ever",
        "if self._lease is not None and now >= self._lease:",
        "if self._lease is not None and now < 0.0:",
        _CORE + "test_breaker.py::test_a_lost_probe_opens_it_when_its_lease_runs_out",
    ),
    _of(
        "core/breaker.py",
        "two probes at once",
        'if self.state != "half_open" or self._lease is not None:',
        'if self.state != "half_open":',
        _CORE + "test_breaker.py::test_probes_go_one_at_a_time",
    ),
    _of(
        "core/breaker.py",
        "a caller pays for the probe of a local scorer",
        "return self.probe(now, deadline) if self.remote else None",
        "return self.probe(now, deadline)",
        _CORE + "test_breaker.py::test_a_caller_is_never_the_probe_of_a_local_scorer",
    ),
    _of(
        "core/breaker.py",
        "one bad call opens it",
        "if calls >= self._policy.min_calls and wrong",
        "if wrong",
        _CORE + "test_breaker.py::test_fewer_calls_than_the_minimum_never_open_it",
    ),
    _of(
        "core/breaker.py",
        "a probe without a verdict counts as good",
        "elif verdict is Verdict.GOOD:",
        "else:",
        _SAFETY + "test_probes_that_tell_nothing_never_close_the_circuit",
    ),
    _of(
        "core/gate.py",
        "a rate-limited caller takes a probe with it",
        "    if rate_limited:",
        '    if rate_limited and breaker.state == "closed":',
        _CORE + "test_gate.py::test_a_rate_limited_caller_is_not_taken_for_a_probe_which_would_be_lost",
    ),
    _of(
        "core/flag.py",
        "the flag's percentage is inverted",
        "return self.mode if draw < self.percent else Mode.OFF",
        "return self.mode if draw >= self.percent else Mode.OFF",
        _CORE + "test_flag.py::test_a_request_outside_the_percentage_is_treated_as_off",
    ),
    _of(
        "circuit.py",
        "nobody probes an open circuit",
        "            self._ask_at(news.wakes)",
        "            pass",
        _SAFETY + "test_a_circuit_heals_by_itself_once_the_scorer_is_well_again",
    ),
    _of(
        "circuit.py",
        "a probe without a verdict is not repeated",
        'again = mattered and self._breaker.state == "half_open"',
        'again = verdict is Verdict.GOOD and self._breaker.state == "half_open"',
        _SAFETY + "test_a_probe_that_tells_nothing_is_soon_repeated",
    ),
    _of(
        "circuit.py",
        "each probe without a verdict leaves two",
        "if turn != self._turn:",
        "if turn > self._turn:",
        _SAFETY + "test_probes_that_tell_nothing_do_not_multiply",
    ),
)

_ENGINE = (
    _of(
        "engine/workers.py",
        "a run that nobody waits for is not stopped",
        "            stop.fire()",
        "            pass",
        _SAFETY + "test_a_run_is_told_to_stop_when_its_callers_time_is_over",
    ),
    _of(
        "engine/stop.py",
        "a run that asks late is not stopped",
        "            if not self.stopped:",
        "            if self._callbacks is not None:",
        _SAFETY + "test_a_run_that_asks_late_is_told_to_stop_at_once",
    ),
    _of(
        "engine/stop.py",
        "a run that cannot be stopped costs its caller the answer",
        '_log.warning("a run could not be told to stop: %s", type(error).__name__)',
        "raise",
        _SAFETY + "test_a_run_that_cannot_be_stopped_costs_nobody_an_answer",
    ),
    _of(
        "engine/workers.py",
        "a score list of another length kills the worker",
        "if len(logits) != len(run.items):",
        "if not logits:",
        _SAFETY + "test_too_few_or_too_many_scores_are_an_error_of_that_run_alone",
    ),
    _of(
        "engine/workers.py",
        "a hung worker is never replaced",
        "return self._watch.hung(work.overrun_at, now) and not waited_for",
        "return self._closed and not waited_for",
        _SAFETY + "test_a_worker_that_hangs_is_replaced",
    ),
    _of(
        "engine/workers.py",
        "hung workers are replaced without bound",
        "and len(self._alive) < workers and room >= 1",
        "and len(self._alive) < workers",
        _SAFETY + "test_no_more_hung_workers_are_replaced_than_allowed",
    ),
    _of(
        "engine/workers.py",
        "a caller without a limit waits for ever behind the last hang",
        "                    job.fail_all()",
        "                    pass",
        _SAFETY + "test_a_caller_without_a_limit_is_answered_when_the_last_worker_hangs",
    ),
    _of(
        "engine/workers.py",
        "a dead worker strands its caller",
        "            self._bury(worker)",
        "            self._alive.discard(worker)",
        _SAFETY + "test_a_worker_that_dies_is_replaced_and_its_caller_answered",
    ),
    _of(
        "engine/workers.py",
        "an encoding error strands its caller",
        """                self._scheduler.encoded(work, pairs, now)
            else:
                self._scheduler.failed(work, now)""",
        """                self._scheduler.encoded(work, pairs, now)
            else:
                self._scheduler.active.discard(work)""",
        _SAFETY + "test_a_tokenizer_that_fails_costs_an_answer_at_once_and_no_waiting",
    ),
    _of(
        "engine/workers.py",
        "a tokenizer's missing answers strand their caller",
        "if len(pairs) != len(work.texts) or not all(_are_pairs(each) for each in pairs):",
        "if not all(_are_pairs(each) for each in pairs):",
        _SAFETY + "test_a_tokenizer_that_leaves_texts_out_costs_an_answer_at_once_and_no_waiting",
    ),
    _of(
        "engine/workers.py",
        "closing strands whoever waits",
        "        self._settle(jobs)",
        "        self._settle(())",
        _SAFETY + "test_closing_answers_whoever_waits_without_a_limit",
    ),
    _of(
        "engine/ticket.py",
        "a blocking caller waits for the worker",
        "timeout = None if seconds == math.inf else",
        "timeout = None if seconds > 0 else",
        _SAFETY + "test_a_blocking_caller_waits_for_its_deadline_and_not_for_the_worker",
    ),
    _of(
        "engine/ticket.py",
        "an async caller waits for the worker",
        "timer = loop.call_later(max(0.0, seconds), _release, woken)",
        "timer = loop.call_later(1000.0 * seconds, _release, woken)",
        _SAFETY + "test_an_async_caller_waits_for_its_deadline_and_not_for_the_worker",
    ),
    _of(
        "engine/timer.py",
        "one failing call ends the timer",
        '_log.error("a timed call failed: %s", type(error).__name__)',
        "raise",
        _SAFETY + "test_a_timed_call_that_fails_does_not_end_the_others",
    ),
    _of(
        "engine/loader.py",
        "a model that failed to load is never tried again",
        "            if self._closed.wait(pause):",
        "            if pause:",
        _SAFETY + "test_a_model_that_could_not_be_loaded_is_tried_again",
    ),
)

_SERVING = (
    _of(
        "serving.py",
        "a bug of ours reaches the caller",
        '_log.error("request %d falls open: %s %s", call.number, type(error).__name__, _place(error))',
        "raise",
        _SAFETY + "test_a_bug_of_ours_costs_relevance_only",
    ),
    _of(
        "serving.py",
        "failing open blinds the circuit",
        "self._end_permit(call, conclusion.verdict)",
        "self._end_permit(call, Verdict.GOOD)",
        _SAFETY + "test_a_scorer_that_always_raises_opens_the_circuit",
    ),
    _of(
        "serving.py",
        "a cancelled caller keeps its permit",
        """        self._end_permit(call, Verdict.UNJUDGED)
        if call.ticket is not None:""",
        "        if call.ticket is not None:",
        _SAFETY + "test_a_cancelled_probe_frees_its_place",
    ),
    _of(
        "serving.py",
        "a cancelled caller's work goes on",
        "            self._engine.conclude(call.ticket, call.request.on_deadline)",
        "            pass",
        _SAFETY + "test_the_run_of_a_cancelled_caller_is_stopped",
    ),
    _of(
        "serving.py",
        "reading the arguments does not count against the budget",
        "deadline = Deadline.after(arrived, request.budget_ms)",
        "deadline = Deadline.after(self._clock.now(), request.budget_ms)",
        _SAFETY + "test_the_budget_begins_with_the_call_and_not_after_reading_it",
    ),
    _of(
        "serving.py",
        "the caller is not woken before its deadline",
        "wakes=deadline.at - self._policy.guard(request.budget_ms),",
        "wakes=deadline.at,",
        _SAFETY + "test_what_would_end_within_the_guard_is_not_begun",
    ),
    _of(
        "reranker.py",
        "a failing observer reaches the caller",
        "except Exception as error:  # noqa: BLE001 - the observers' boundary: watching must not break",
        "except KeyError as error:",
        _SAFETY + "test_an_observer_that_raises_changes_no_answer",
    ),
    _of(
        "serving.py",
        "shadow mode answers in the new order",
        "conclusion = _nothing(Outcome.SKIPPED, Reason.SHADOW, len(request.candidates))",
        "assert conclusion",
        _SAFETY + "test_in_shadow_mode_nobody_sees_the_new_order",
    ),
    _of(
        "reranker.py",
        "score() leaves out what could not be scored",
        "if ranking.outcome is not Outcome.RERANKED:",
        "if ranking.outcome is Outcome.SKIPPED:",
        _SAFETY + "test_scores_are_all_there_or_an_error",
    ),
)

_ISOLATED = "tests/backends/test_isolated.py::"
_SUPERVISOR = "tests/backends/isolation/test_supervisor.py::"
_ISOLATION = (
    _of(
        "backends/isolation/supervisor.py",
        "a run that ignores its stop is waited for",
        "(watched.since_stop or 0.0) * 1000 >= self._policy.stop_grace_ms",
        "(watched.since_stop or 0.0) * 0 >= self._policy.stop_grace_ms",
        _SUPERVISOR + "test_a_run_that_goes_on_after_it_was_stopped_is_waited_for_no_longer_than_the_grace",
    ),
    _of(
        "backends/isolation/supervisor.py",
        "a machine that stood still has its scorer killed",
        "lived, before = min(now - before, 2 * tick), now",
        "lived, before = now - before, now",
        _SUPERVISOR + "test_a_machine_that_stood_still_has_not_watched_anything_hang",
    ),
    _of(
        "backends/isolation/supervisor.py",
        "a stopped process is taken for a quiet one",
        """            if process.stopped():
                return "stopped"
            if self""",
        "            if self",
        _SUPERVISOR + "test_a_process_that_somebody_stopped_is_told_from_one_that_hangs",
    ),
    _of(
        "backends/isolation/supervisor.py",
        "another model in its place is taken for the same",
        "return self._meaning() == other._meaning()",
        "return True",
        _SUPERVISOR + "test_another_device_is_the_same_model_and_another_activation_is_not",
    ),
    _of(
        "backends/isolation/channel.py",
        "a late word to stop counts against the next run",
        "return self.run is not None and self.run == self.stopped",
        "return self.run is not None and self.stopped is not None",
        _SUPERVISOR + "test_a_stop_of_the_run_before_does_not_count_against_the_next",
    ),
    _of(
        "backends/isolation/child.py",
        "a foreign error's words, which may quote a text, leave the process",
        'told = {"type": type(error).__name__, "message": str(error)[:300] if ours else ""}',
        'told = {"type": type(error).__name__, "message": str(error)[:300]}',
        "tests/backends/isolation/test_child.py::"
        "test_what_the_scorer_raises_is_told_by_its_type_and_our_own_words_only",
    ),
    _of(
        "backends/isolation/frames.py",
        "texts travel although their ids are enough",
        "        if pair.ids is None:\n            query, text = _utf8",
        "        if True:\n            query, text = _utf8",
        "tests/backends/isolation/test_frames.py::test_texts_of_encoded_pairs_do_not_travel",
    ),
    _of(
        "engine/engine.py",
        "callers wait for a scorer that is being replaced",
        'return "ready" if model is None or model.health is None else model.health.state',
        'return "ready"',
        _ISOLATED + "test_callers_are_answered_in_time_whatever_happens_and_reranked_again_afterwards",
    ),
    _of(
        "reranker.py",
        "a new process inherits the circuit of the one that failed",
        'elif event.state == "ready":',
        "elif False:",
        _ISOLATED + "test_the_circuit_of_a_new_process_is_closed",
    ),
)

_DIALECTS = "tests/backends/test_remote_dialects.py::"
_TAKEOVER = "tests/test_takeover.py::"
_REMOTE = (
    _of(
        "backends/remote_dialects.py",
        "a server may score a text twice",
        "if found[at] is not None:",
        "if False:",
        _DIALECTS + "test_lies_are_errors",
    ),
    _of(
        "backends/remote_dialects.py",
        "a short answer is taken for a whole one",
        "if len(complete) != count:",
        "if len(complete) > count:",
        _DIALECTS + "test_lies_are_errors",
    ),
    _of(
        "backends/remote_dialects.py",
        "scores that were made up for sorting are taken for real ones",
        'if outcome != "reranked":',
        'if outcome == "never":',
        _DIALECTS + "test_scores_that_a_rerankd_made_up_for_another_dialect_are_not_taken",
    ),
    _of(
        "backends/remote_dialects.py",
        "a server whose model is broken looks like a busy one",
        'or (outcome == "skipped" and reason in _BROKEN)',
        "",
        _DIALECTS + "test_a_rerankd_whose_model_is_not_well_is_an_error_so_that_the_circuit_here_hears_of_it",
    ),
    _of(
        "backends/remote.py",
        "the key follows a redirect to somebody else",
        "follow_redirects=False,",
        "follow_redirects=True,",
        "tests/backends/test_remote.py::test_neither_texts_nor_the_key_follow_a_redirect_to_somebody_else",
    ),
    _of(
        "backends/remote.py",
        "a server that wants fewer requests gets as many as before",
        "if now < self._not_before:",
        "if now < 0:",
        "tests/backends/test_remote.py::test_who_asks_too_often_leaves_the_server_alone_for_a_while",
    ),
    _of(
        "takeover.py",
        "a server that came to nothing is believed",
        "return None if isinstance(scores, Scores) and all(map(math.isnan, scores)) else scores",
        "return scores",
        _TAKEOVER + "test_a_server_that_came_to_nothing_is_no_better_than_a_silent_one",
    ),
    _of(
        "takeover.py",
        "a failing server is asked again each time",
        "    if first.exception() is not None:\n        return Verdict.BAD",
        "    if first.exception() is not None:\n        return Verdict.GOOD",
        _TAKEOVER + "test_a_server_that_fails_too_often_is_not_asked_for_a_while",
    ),
    _of(
        "core/scheduler.py",
        "what a scorer did not come to counts as its failure",
        "item.job.leave(item.candidate, left)",
        "item.job.failed([item.candidate])",
        "tests/engine/test_left_out.py::"
        "test_a_scorer_that_comes_to_nothing_for_want_of_time_never_opens_its_circuit",
    ),
)

_CACHE = (
    _of(
        "caching.py",
        "one tenant finds the scores of another",
        "        shared = (\n            tenant,",
        '        shared = (\n            "",',
        "tests/test_caching.py::test_a_score_is_found_for_exactly_the_same_question_only",
    ),
    _of(
        "caching.py",
        "a score is found for another query",
        "            request.query,\n",
        "",
        "tests/test_caching.py::test_a_score_is_found_for_exactly_the_same_question_only",
    ),
    _of(
        "caching.py",
        "a forked child shares its parent's secret",
        'self._secret = self._make_secret(_SECRET_BYTES) if self._on else b""',
        'self._secret = getattr(self, "_secret", b"s" * 32)',
        "tests/test_caching.py::test_a_forked_child_has_a_cache_and_a_secret_of_its_own",
    ),
    _of(
        "core/cache.py",
        "where a part of a fingerprint ends does not count",
        "return len(data).to_bytes(8) + data",
        "return data",
        _CORE + "test_cache.py::test_where_one_part_ends_and_the_next_begins_counts",
    ),
    _of(
        "core/cache.py",
        "the cache has no limit",
        "while len(self._scores) > self._most:",
        "while False:",
        _CORE + "test_cache.py::test_it_holds_the_scores_used_last_and_no_more",
    ),
    _of(
        "core/conclusion.py",
        "a known score is a good call of the scorer",
        "sum(score is not None for score in job.scores())",
        "sum(score is not None for score in job.results())",
        _CORE + "test_conclusion.py::test_a_known_score_counts_in_the_depth_and_not_for_the_scorer",
    ),
)

MUTANTS: tuple[Mutant, ...] = (
    *_RANKING,
    *_SCHEDULING,
    *_CIRCUIT,
    *_ENGINE,
    *_SERVING,
    *_ISOLATION,
    *_REMOTE,
    *_CACHE,
)
