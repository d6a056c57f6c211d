"""A pair scores what its file says, alone or in company, until nobody waits for it any more."""

import hashlib
import os
import threading
from array import array

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto

from rerankd.backends import onnx as module
from rerankd.backends.devices import Device, what_cuda_lacks
from rerankd.backends.onnx import OnnxScorer, evaluate
from rerankd.core.types import Pair, Text
from rerankd.errors import BackendError, OutOfMemory
from rerankd.models.dequantise import graph_of, half_graph_of
from rerankd.models.pairs import PairTokenizer
from rerankd.models.registry import find
from rerankd.models.rewriting.rewrite import lean
from tests.backends.conftest import Signal, pair
from tests.encoder_graphs import Encoder
from tests.onnx_graphs import expected, write_endless, write_greedy, write_reranker

IDS = [[3, 1, 4, 1, 5], [9, 2], [6, 5, 3, 5, 8, 9, 7, 9], [2]]
TYPES = [[0, 0, 1, 1, 1], [0, 1], [0, 0, 0, 1, 1, 1, 1, 1], [0]]


def load(path, **how) -> OnnxScorer:
    return OnnxScorer.load(path, model="tiny", **how)


# --- what a run gives -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [TensorProto.INT64, TensorProto.INT32], ids=["int64", "int32"])
@pytest.mark.parametrize("shape", ["(n,1)", "(n,)"])
@pytest.mark.parametrize("types", [True, False], ids=["with types", "without types"])
def test_inputs_and_outputs_of_every_common_form_are_served(tmp_path, never, dtype, shape, types):
    scorer = load(write_reranker(tmp_path / "model.onnx", types=types, dtype=dtype, shape=shape))
    scores = scorer.score([pair(i, t) for i, t in zip(IDS, TYPES, strict=True)], never)
    assert scores == pytest.approx(
        [expected(i, t if types else None) for i, t in zip(IDS, TYPES, strict=True)]
    )
    assert all(type(score) is float for score in scores)


def test_pairs_share_a_padded_run_only_where_the_file_allows_it(tmp_path, never, monkeypatch):
    path = write_reranker(tmp_path / "model.onnx")
    pairs = [pair(i, t) for i, t in zip(IDS, TYPES, strict=True)]
    runs: list[tuple[int, int]] = []
    scores = {}
    for invariant in (True, False):
        scorer = load(path, batch_invariant=invariant, pad_id=7)
        inner = scorer._session

        class Session:
            def run(self, names, feed, options, inner=inner):
                runs.append(feed["input_ids"].shape)
                if feed["input_ids"].shape[0] > 1:
                    assert list(feed["input_ids"][1]) == [9, 2, 7, 7, 7, 7, 7, 7]
                    assert list(feed["attention_mask"][1]) == [1, 1, 0, 0, 0, 0, 0, 0]
                return inner.run(names, feed, options)

        monkeypatch.setattr(scorer, "_session", Session())
        scores[invariant] = scorer.score(pairs, never)
    assert runs == [(4, 8), (1, 5), (1, 2), (1, 8), (1, 1)]
    assert scores[True] == pytest.approx(scores[False], abs=1e-4)


def test_a_group_without_types_gets_zeros(tmp_path, never):
    scorer = load(write_reranker(tmp_path / "model.onnx"), batch_invariant=True)
    assert scorer.score([pair(i) for i in IDS], never) == pytest.approx([expected(i) for i in IDS])


def test_ids_may_be_lists_or_compact(tmp_path, never):
    scorer = load(write_reranker(tmp_path / "model.onnx"))
    compact = pair(array("q", IDS[0]), array("q", TYPES[0]))
    assert scorer.score([compact], never) == scorer.score([pair(IDS[0], TYPES[0])], never)


def test_pairs_longer_than_any_before_are_served(tmp_path, never):
    scorer = load(write_reranker(tmp_path / "model.onnx", types=False))
    for length in (3, 700, 5, 2000, 1):
        assert scorer.score([pair([1] * length)], never) == pytest.approx([expected([1] * length)], rel=1e-4)


def test_no_pairs_give_no_scores(tmp_path, never):
    assert load(write_reranker(tmp_path / "model.onnx"), batch_invariant=True).score([], never) == []


def test_the_output_called_logits_is_taken_else_the_first(tmp_path, never):
    scorer = load(write_reranker(tmp_path / "model.onnx", output="score"))
    assert scorer.score([pair(IDS[0], TYPES[0])], never) == pytest.approx([expected(IDS[0], TYPES[0])])


# --- what it says of itself -----------------------------------------------------------------------------


def test_its_traits_say_how_to_feed_it(tmp_path):
    path = write_reranker(tmp_path / "model.onnx")
    traits = load(path, concurrency=3, activation="identity", batch_invariant=True).traits
    assert (traits.model, traits.device, traits.concurrency) == ("tiny", "cpu", 3)
    assert (traits.activation, traits.batch_invariant, traits.unit) == ("identity", True, "pair")
    assert traits.max_batch_tokens == 0, "on a CPU one pair a run is the fastest"
    assert traits.interruptible
    assert traits.local


def test_it_takes_as_many_runs_at_once_as_there_are_usable_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "usable_cores", lambda: 5)
    assert load(write_reranker(tmp_path / "model.onnx")).traits.concurrency == 5


def test_on_cuda_runs_are_filled_up_to_a_number_of_tokens(tmp_path):
    session = onnxruntime.InferenceSession(str(write_reranker(tmp_path / "model.onnx")))
    cuda = {"model": "tiny", "device": Device("cuda", 1)}
    assert OnnxScorer(session, batch_invariant=True, **cuda).traits.max_batch_tokens == 16_384
    assert OnnxScorer(session, batch_invariant=False, **cuda).traits.max_batch_tokens == 0
    assert OnnxScorer(session, **cuda).traits.device == "cuda:1"


def test_a_cuda_session_that_fell_back_to_the_cpu_is_refused(tmp_path, monkeypatch):
    path = write_reranker(tmp_path / "model.onnx")
    real = onnxruntime.InferenceSession
    asked = []

    def session(path, options, providers):
        asked.append(providers)
        return real(path, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    with pytest.raises(BackendError, match=r"model\.onnx.*cuda:1.*CUDA or cuDNN"):
        load(path, device=Device("cuda", 1))
    assert asked == [[("CUDAExecutionProvider", {"device_id": "1"}), "CPUExecutionProvider"]]


class OnCuda:
    """A session of the CPU that says to be on CUDA, keeps the shapes of its runs, and fails where it is told to."""

    def __init__(self, path, fails) -> None:
        self.inner = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.fails = fails
        self.shapes = []

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def get_providers(self):
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def run(self, names, feed, options):
        self.shapes.append(feed["input_ids"].shape)
        problem = self.fails(feed["input_ids"].shape)
        if problem is not None:
            raise problem
        return self.inner.run(names, feed, options)


def on_cuda(tmp_path, monkeypatch, *, fails=lambda shape: None, **how) -> list[tuple[int, int]]:
    """The shapes that are run while a scorer is loaded on CUDA."""
    session = OnCuda(write_reranker(tmp_path / "model.onnx"), fails)
    monkeypatch.setattr(module, "_open", lambda *_: session)
    load(tmp_path / "model.onnx", device=Device("cuda"), **how)
    return session.shapes


def test_on_cuda_it_is_warmed_up_at_several_lengths_and_with_a_mask_where_pairs_share_runs(
    tmp_path, monkeypatch
):
    lengths = module.CUDA_WARM_UP_TOKENS
    assert on_cuda(tmp_path, monkeypatch) == [(1, 4), *((1, length) for length in lengths)]
    together = on_cuda(tmp_path, monkeypatch, batch_invariant=True)
    assert together == [(1, 4), *((pairs, length) for length in lengths for pairs in (1, 2))]


def test_a_model_of_shorter_texts_is_warmed_up_as_far_as_it_goes(tmp_path, monkeypatch):
    def fails(shape):
        return RuntimeError("index out of bounds") if shape[1] > 64 else None

    assert on_cuda(tmp_path, monkeypatch, fails=fails) == [(1, 4), (1, 16), (1, 64), (1, 128)]


def test_a_device_that_is_lost_while_it_is_warmed_up_is_an_error(tmp_path, monkeypatch):
    def fails(shape):
        return RuntimeError("CUDA error: an illegal memory access") if shape[1] > 16 else None

    with pytest.raises(BackendError, match=r"model\.onnx: a run of 1 pair"):
        on_cuda(tmp_path, monkeypatch, fails=fails)


@pytest.mark.parametrize(("path", "set_"), [("avx2", True), ("avx512_vnni", False)])
def test_overflow_is_avoided_only_where_the_cpu_has_no_dot_products(tmp_path, monkeypatch, path, set_):
    seen = []
    real = onnxruntime.InferenceSession

    def session(file, options, providers):
        seen.append(options)
        return real(file, options, providers=providers)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    monkeypatch.setattr(module, "int8_path", lambda: path)
    monkeypatch.setattr(module, "overflows_int8", lambda path: path == "avx2")
    load(write_reranker(tmp_path / "model.onnx"))
    (options,) = seen
    try:
        value = options.get_session_config_entry("session.x64quantprecision")
    except RuntimeError:  # not set
        value = ""
    assert (value == "1") == set_
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)


# --- what it refuses ------------------------------------------------------------------------------------


def test_a_file_that_is_no_graph_is_named(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"nonsense")
    with pytest.raises(BackendError, match=r"model\.onnx"):
        load(path)
    with pytest.raises(BackendError, match=r"gone\.onnx"):
        load(tmp_path / "gone.onnx")


def test_a_graph_with_several_labels_is_refused(tmp_path):
    with pytest.raises(BackendError, match=r"model\.onnx.*'logits'.*\(1, 3\).*one score a pair"):
        load(write_reranker(tmp_path / "model.onnx", labels=3))


def test_an_input_that_is_not_known_is_named(tmp_path):
    with pytest.raises(BackendError, match="position_ids"):
        load(write_reranker(tmp_path / "model.onnx", extra_input="position_ids"))


def test_inputs_of_an_unknown_type_are_refused(tmp_path):
    path = write_reranker(tmp_path / "model.onnx", dtype=TensorProto.UINT8, check=False)
    with pytest.raises(BackendError):
        load(path)


def test_a_pair_without_ids_is_an_error(tmp_path, never):
    scorer = load(write_reranker(tmp_path / "model.onnx"))
    plain = Pair(query=Text("a"), text=Text("b"), tokens=3)
    with pytest.raises(BackendError, match="token ids"):
        scorer.score([pair([1]), plain], never)


def test_a_closed_scorer_refuses(tmp_path, never):
    scorer = load(write_reranker(tmp_path / "model.onnx"))
    scorer.close()
    with pytest.raises(BackendError, match="closed"):
        scorer.score([pair([1])], never)


def test_a_failed_run_is_an_error_without_text(tmp_path, never):
    scorer = load(write_reranker(tmp_path / "model.onnx"))
    with pytest.raises(BackendError, match="1 pair") as caught:
        scorer.score([pair([1_000_000])], never)
    assert not isinstance(caught.value, OutOfMemory)
    assert "canary" not in str(caught.value)


def test_a_score_that_is_not_finite_is_given_as_it_is(tmp_path, never, monkeypatch):
    scorer = load(write_reranker(tmp_path / "model.onnx"))

    class Session:
        def run(self, *_):
            return [np.array([[np.nan]], np.float32)]

    monkeypatch.setattr(scorer, "_session", Session())
    assert np.isnan(scorer.score([pair([1])], never)[0])


# --- memory ---------------------------------------------------------------------------------------------


def test_a_run_that_does_not_fit_says_so_and_the_next_one_works(tmp_path, never):
    scorer = load(write_greedy(tmp_path / "model.onnx"))
    with pytest.raises(OutOfMemory, match="1 pair"):
        scorer.score([pair([1])], never)
    assert scorer.score([pair([0])], never) == [0.0]


@pytest.mark.parametrize(
    "message",
    [
        "Failed to allocate memory for requested buffer of size 12884901888",
        "std::bad_alloc",
        "bad allocation",
        "CUDA failure 2: out of memory ; GPU=0",
        "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED",
        "CUDNN_STATUS_ALLOC_FAILED",
        "cudaErrorMemoryAllocation",
        "Available memory of 128 is smaller than requested bytes of 256",
    ],
)
def test_every_way_to_say_out_of_memory_is_understood(tmp_path, never, monkeypatch, message):
    scorer = load(write_reranker(tmp_path / "model.onnx"))

    class Session:
        def run(self, *_):
            raise module.native.RuntimeException(f"[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : {message}")

    monkeypatch.setattr(scorer, "_session", Session())
    with pytest.raises(OutOfMemory):
        scorer.score([pair([1])], never)


def test_pythons_own_memory_error_is_one_too(tmp_path, never, monkeypatch):
    scorer = load(write_reranker(tmp_path / "model.onnx"))

    class Session:
        def run(self, *_):
            raise MemoryError

    monkeypatch.setattr(scorer, "_session", Session())
    with pytest.raises(OutOfMemory):
        scorer.score([pair([1])], never)


# --- stopping -------------------------------------------------------------------------------------------


@pytest.mark.threads
def test_a_run_under_way_ends_when_nobody_waits_and_the_next_one_is_free(tmp_path, capfd):
    scorer = load(write_endless(tmp_path / "model.onnx"))
    stop = Signal()
    got: list[object] = []
    thread = threading.Thread(
        target=lambda: got.append(scorer.score([pair([1]), pair([1])], stop)), daemon=True
    )
    thread.start()
    assert stop.heard.wait(10)
    stop.fire()
    thread.join(30)
    assert not thread.is_alive()
    assert got == [[]]
    assert scorer.score([pair([0])], Signal()) == [0.0]
    assert capfd.readouterr().err == "", "an ended run is no error to write about"


def test_nothing_runs_once_nobody_waits(tmp_path):
    scorer = load(write_endless(tmp_path / "model.onnx"))
    stop = Signal()
    stop.fire()
    assert scorer.score([pair([1])], stop) == []


# --- the real model -------------------------------------------------------------------------------------

QUERY = Text("how long do refunds take")
TEXTS = [
    Text("Refunds arrive within five working days of the day on which we receive the parcel."),
    Text("Our office is open from nine to five."),
    Text(""),
    Text("refund " * 600),
    Text("\ud800 broken \x00 text 😀"),
    Text("You can track your parcel with the link in the e-mail that we sent when it left."),
]


@pytest.fixture(scope="module")
def real(embedded):
    tokenizer = PairTokenizer(embedded / "tokenizer.json", max_tokens=512)
    return tokenizer, load(embedded / "model.onnx", concurrency=2, pad_id=tokenizer.pad_id)


@pytest.fixture(scope="module")
def plain(embedded) -> list[float]:
    """Scores of a plain run of the same file, pair by pair, through the libraries' own functions."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(embedded / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(512, strategy="only_second")
    session = onnxruntime.InferenceSession(str(embedded / "model.onnx"), providers=["CPUExecutionProvider"])
    scores = []
    for text in TEXTS:
        encoded = tokenizer.encode(str(QUERY), text.replace("\ud800", "\ufffd"))
        feed = {
            "input_ids": np.array([encoded.ids]),
            "attention_mask": np.array([encoded.attention_mask]),
            "token_type_ids": np.array([encoded.type_ids]),
        }
        scores.append(float(session.run(None, feed)[0][0, 0]))
    return scores


@pytest.mark.model
def test_scores_equal_those_of_a_plain_run_of_the_same_file(real, plain, never):
    tokenizer, scorer = real
    pairs = [only for (only,) in tokenizer.encode(QUERY, TEXTS, max_tokens=512)]
    assert scorer.score(pairs, never) == pytest.approx(plain, abs=1e-4)
    assert scorer.score(pairs[::-1], never)[::-1] == pytest.approx(plain, abs=1e-4)
    assert plain.index(max(plain)) in (0, 3)


@pytest.mark.model
@pytest.mark.threads
def test_scores_are_the_same_whoever_else_is_scoring(real, plain):
    tokenizer, scorer = real
    pairs = [only for (only,) in tokenizer.encode(QUERY, TEXTS, max_tokens=512)]
    wrong: list[object] = []

    def work(at: int) -> None:
        for _ in range(3):
            turned = pairs[at:] + pairs[:at]
            wanted = plain[at:] + plain[:at]
            got = scorer.score(turned, Signal())
            if got != pytest.approx(wanted, abs=1e-4):
                wrong.append(got)

    threads = [threading.Thread(target=work, args=(at,)) for at in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.model
@pytest.mark.threads
def test_a_long_run_of_the_real_model_ends_early_and_the_next_is_exact(real, plain):
    tokenizer, scorer = real
    pairs = [only for (only,) in tokenizer.encode(QUERY, TEXTS, max_tokens=512)]
    stop = Signal()
    got: list[list[float]] = []
    thread = threading.Thread(target=lambda: got.append(scorer.score(pairs[3:4] * 200, stop)))
    thread.start()
    assert stop.heard.wait(10)
    stop.fire()
    thread.join()
    assert len(got[0]) < 200
    assert scorer.score(pairs[:1], Signal()) == pytest.approx(plain[:1], abs=1e-4)


@pytest.mark.model
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_scores_with_the_session_of_its_parent(real, plain):
    """The session has no threads of its own that a fork could lose."""
    tokenizer, scorer = real
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            pairs = [only for (only,) in tokenizer.encode(QUERY, TEXTS[:2], max_tokens=512)]
            os.write(write, ",".join(map(str, scorer.score(pairs, Signal()))).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        scores = [float(each) for each in pipe.read().split(",")]
    os.waitpid(child, 0)
    assert scores == pytest.approx(plain[:2], abs=1e-4)


# --- its lean form --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lean_form(embedded) -> bytes:
    graph = lean(embedded / "model.onnx", evaluate)
    assert graph is not None
    return graph


@pytest.mark.model
def test_the_lean_form_of_the_carried_file_is_the_one_that_is_registered(lean_form):
    carried = find("large").carried
    assert carried is not None
    assert hashlib.sha256(lean_form).hexdigest() == carried.lean


@pytest.mark.model
def test_the_lean_form_is_as_near_to_the_weights_as_a_plain_run(embedded, lean_form, real, plain, never):
    """Any change of rounding draws the noise of a quantised file anew: ONNX Runtime without its optimiser, too."""
    tokenizer, _ = real
    pairs = [only for (only,) in tokenizer.encode(QUERY, TEXTS, max_tokens=512)]
    scorer = load(embedded / "model.onnx", lean=lean_form)
    scores = scorer.score(pairs, never)
    assert scores == pytest.approx(plain, abs=0.6)
    assert np.argmax(scores) == np.argmax(plain)
    assert scorer.score(pairs[::-1], never)[::-1] == scores


def test_pairs_in_a_lean_form_are_always_alone(tmp_path, never):
    path = Encoder().save(tmp_path / "model.onnx")
    graph = lean(path, evaluate)
    pairs = [pair(i, t) for i, t in zip(IDS, TYPES, strict=True)]
    alone = load(path, lean=graph, batch_invariant=True)
    assert alone.traits.batch_invariant
    assert alone.score(pairs, never) == pytest.approx(load(path).score(pairs, never), abs=1e-4)


def test_a_part_of_a_graph_that_cannot_be_run_is_an_error_of_ours():
    with pytest.raises(BackendError, match="a part of the graph"):
        evaluate(b"no graph", "x", 2)


# --- on CUDA --------------------------------------------------------------------------------------------


@pytest.fixture
def cuda() -> Device:
    device = Device("cuda", 0)
    missing = what_cuda_lacks(device)
    if missing:
        pytest.skip(f"there is no CUDA device for ONNX Runtime here: {missing}")
    return device


@pytest.mark.cuda
def test_on_cuda_a_graph_scores_as_on_the_cpu(cuda, tmp_path, never):
    path = write_reranker(tmp_path / "model.onnx")
    pairs = [pair(i, t) for i, t in zip(IDS, TYPES, strict=True)]
    scorer = load(path, device=cuda, batch_invariant=True)
    assert scorer.traits.device == "cuda:0"
    assert "CUDAExecutionProvider" in scorer._session.get_providers()
    assert scorer.score(pairs, never) == pytest.approx(load(path).score(pairs, never), abs=2e-2)


@pytest.mark.cuda
@pytest.mark.model
def test_on_cuda_the_default_model_in_fp16_scores_as_in_fp32_on_the_cpu(cuda, embedded, tmp_path, never):
    import onnx

    for name, graph in (("half", half_graph_of), ("full", graph_of)):
        onnx.save(graph(embedded / "model.onnx"), str(tmp_path / f"{name}.onnx"))
    tokenizer = PairTokenizer(embedded / "tokenizer.json", max_tokens=512)
    pairs = [only for (only,) in tokenizer.encode(QUERY, TEXTS, max_tokens=512)]
    on_device = load(tmp_path / "half.onnx", device=cuda, batch_invariant=True, pad_id=tokenizer.pad_id)
    on_cpu = load(tmp_path / "full.onnx").score(pairs, never)
    assert on_device.score(pairs, never) == pytest.approx(on_cpu, abs=2e-2)
    alone = [on_device.score([each], never)[0] for each in pairs]
    assert alone == pytest.approx(on_cpu, abs=2e-2)
