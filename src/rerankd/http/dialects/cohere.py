"""Cohere's API, versions 1 and 2."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from rerankd.core.answer import Ranking
from rerankd.http.call import Answered, Call, Foreign, Many, Query, TopN, scores
from rerankd.http.dialects.errors import Message, message
from rerankd.http.refusal import Refusal

__all__ = [
    "Cohere",
    "CohereAnswer",
    "CohereV1",
    "CohereV1Answer",
    "CohereV1Request",
    "CohereV2Request",
    "FieldsObject",
    "RankFields",
    "texts_of",
]

RankFields = Annotated[list[str] | None, Field(max_length=100, fail_fast=True)]
"""The fields of a document that are looked at; each is looked up in every document, and so they are bounded."""


class CohereV2Request(Foreign):
    """Version 2 takes plain texts only."""

    query: Query
    documents: Many[str]
    model: str | None = None
    top_n: TopN = None
    max_tokens_per_doc: int | None = None


class FieldsObject(BaseModel):
    """A document of version 1: any fields, of which `rank_fields` names those to look at."""

    model_config = ConfigDict(extra="allow")


class CohereV1Request(Foreign):
    """Version 1 also takes objects, and gives the texts back where asked to."""

    query: Query
    documents: Many[str | FieldsObject]
    model: str | None = None
    top_n: TopN = None
    rank_fields: RankFields = None
    return_documents: bool = False
    max_chunks_per_doc: int | None = None


class ApiVersion(Answered):
    version: str


class BilledUnits(Answered):
    search_units: int


class Meta(Answered):
    api_version: ApiVersion
    billed_units: BilledUnits


class CohereResult(Answered):
    index: int
    relevance_score: float


class CohereAnswer(Answered):
    id: str
    results: list[CohereResult]
    meta: Meta


class CohereDocument(Answered):
    text: str


class CohereV1Result(CohereResult):
    document: CohereDocument | None = None


class CohereV1Answer(Answered):
    id: str
    results: list[CohereV1Result]
    meta: Meta


class Cohere:
    """`/v2/rerank`."""

    name: ClassVar = "cohere"
    texts: ClassVar = "documents"
    version: ClassVar = "2"
    Request: ClassVar[type[BaseModel]] = CohereV2Request
    Answer: ClassVar[Any] = CohereAnswer
    Error: ClassVar[type[BaseModel]] = Message

    def read(self, request: Any) -> Call:
        return Call(
            query=request.query,
            candidates=request.documents,
            top_k=request.top_n,
            budget_ms=request.budget_ms,
            model=request.model,
        )

    def write(self, ranking: Ranking, call: Call, model: str, id: str) -> dict[str, Any]:
        results = []
        for each, score in zip(ranking, scores(ranking), strict=True):
            result: dict[str, Any] = {"index": each.retrieval_rank - 1, "relevance_score": score}
            if call.with_texts:
                result["document"] = {"text": each.text}
            results.append(result)
        units = max(1, -(-len(call.candidates) // 100))  # Cohere bills a search for every 100 documents
        meta = {"api_version": {"version": self.version}, "billed_units": {"search_units": units}}
        return {"id": id, "results": results, "meta": meta}

    def refuse(self, refusal: Refusal, id: str) -> Mapping[str, Any]:
        return message(refusal, id)


class CohereV1(Cohere):
    """`/cohere/v1/rerank`."""

    name: ClassVar = "cohere_v1"
    version: ClassVar = "1"
    Request: ClassVar[type[BaseModel]] = CohereV1Request
    Answer: ClassVar[Any] = CohereV1Answer

    def read(self, request: CohereV1Request) -> Call:
        return Call(
            query=request.query,
            candidates=texts_of(request.documents, request.rank_fields),
            top_k=request.top_n,
            budget_ms=request.budget_ms,
            model=request.model,
            with_texts=request.return_documents,
        )


def texts_of(documents: Sequence[str | FieldsObject], rank_fields: list[str] | None) -> list[str]:
    """The documents' texts. Raises `Refusal` for an object that has none."""
    return [
        each if isinstance(each, str) else _joined(each.model_extra or {}, rank_fields, place)
        for place, each in enumerate(documents)
    ]


def _joined(document: Mapping[str, Any], rank_fields: list[str] | None, place: int) -> str:
    """The text of an object: the fields that were named, one a line; else its `text`."""
    wanted = dict.fromkeys(rank_fields or ["text"])
    found = [document[name] for name in wanted if isinstance(document.get(name), str)]
    if not found:
        raise Refusal(
            "validation",
            f"documents[{place}]: must be a string, or an object with a string in "
            + ("one of rank_fields" if rank_fields else "text"),
            param=f"documents[{place}]",
        )
    return "\n".join(found)
