import hashlib
import secrets
from datetime import timedelta

import argon2
import jwt
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.generics import RetrieveAPIView
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from . import serializers
from .models import Ballot, Choice, Question, RefreshToken, User

HASHER = argon2.PasswordHasher(memory_cost=19 * 1024, time_cost=2, parallelism=1)
QUESTIONS = Question.objects.select_related("author").prefetch_related("choices")


class Closed(APIException):
    status_code = 409


class QuestionDetail(RetrieveAPIView):
    queryset = QUESTIONS
    serializer_class = serializers.QuestionWithChoices


class QuestionList(APIView):
    def get(self, request):
        limit = min(max(int(request.query_params.get("limit", 20)), 1), 100)
        questions = serializers.QuestionWithChoices(QUESTIONS.all()[:limit], many=True)
        return Response({"data": questions.data, "meta": {}})


class Vote(APIView):
    permission_classes = [IsAuthenticated]

    def put(self, request, pk):
        ballot = serializers.NewBallot(data=request.data)
        ballot.is_valid(raise_exception=True)
        (choice,) = ballot.validated_data["choice_ids"]
        user, now = request.user.id, timezone.now()
        try:
            first_ballot(user, pk, choice, now)
            status = 201
        except IntegrityError:
            change_ballot(user, pk, choice, now)
            status = 200
        answer = {
            "question_id": pk,
            "choice_ids": [choice],
            "cast_at": now,
            "updated_at": now,
            "results": results(QUESTIONS.get(pk=pk), now),
        }
        return Response(answer, status=status)


@transaction.atomic
def first_ballot(user, question, choice, now):
    # The hot row last, so that it is locked briefly.
    if not Choice.objects.filter(pk=choice, question_id=question).exists():
        raise ValidationError
    Ballot.objects.create(
        question_id=question, user_id=user, choice_id=choice, cast_at=now, updated_at=now
    )
    Choice.objects.filter(pk=choice).update(votes=F("votes") + 1)
    open_ = Question.objects.filter(pk=question, closed_at=None)
    if not open_.update(ballot_count=F("ballot_count") + 1):
        raise Closed


@transaction.atomic
def change_ballot(user, question, choice, now):
    mine = Ballot.objects.filter(question_id=question, user_id=user)
    before = mine.select_for_update().get().choice_id
    if before == choice:
        return
    if Question.objects.select_for_update().get(pk=question).closed_at:
        raise Closed
    Choice.objects.filter(pk=choice).update(votes=F("votes") + 1)
    Choice.objects.filter(pk=before).update(votes=F("votes") - 1)
    mine.update(choice_id=choice, updated_at=now)


def results(question, now):
    choices, count = question.choices.all(), question.ballot_count
    most = max(choice.votes for choice in choices)
    return {
        "question_id": question.id,
        "ballot_count": count,
        "choices": [
            {
                "id": choice.id,
                "choice_text": choice.choice_text,
                "votes": choice.votes,
                "share": round(choice.votes / count, 4) if count else 0,
            }
            for choice in choices
        ],
        "leading_choice_ids": [
            choice.id for choice in choices if most and choice.votes == most
        ],
        "is_final": question.closed_at is not None,
        "as_of": now,
    }


class SignIn(APIView):
    def post(self, request):
        form = serializers.SignIn(data=request.data)
        form.is_valid(raise_exception=True)
        try:
            user = User.objects.get(email=form.validated_data["username"])
            HASHER.verify(user.password_hash, form.validated_data["password"])
        except (User.DoesNotExist, argon2.exceptions.VerificationError):
            return Response({"error": "invalid_grant"}, status=400)
        refresh_token, now = secrets.token_urlsafe(32), timezone.now()
        RefreshToken.objects.create(
            token_hash=hashlib.sha256(refresh_token.encode()).hexdigest(),
            user=user,
            expires_at=now + timedelta(days=30),
        )
        claims = {
            "iss": "polls", "aud": "polls", "sub": str(user.id),
            "iat": now, "exp": now + timedelta(minutes=15),
        }
        return Response(
            {
                "access_token": jwt.encode(claims, settings.SECRET_KEY, algorithm="HS256"),
                "token_type": "Bearer",
                "expires_in": 900,
                "refresh_token": refresh_token,
            }
        )
