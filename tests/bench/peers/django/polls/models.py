"""The tables are made by schema.sql."""

from django.db import models


class User(models.Model):
    id = models.UUIDField(primary_key=True)
    name = models.TextField()
    email = models.TextField(unique=True)
    password_hash = models.TextField()

    class Meta:
        db_table = "users"


class Question(models.Model):
    id = models.UUIDField(primary_key=True)
    author = models.ForeignKey(User, models.PROTECT)
    question_text = models.TextField()
    closed_at = models.DateTimeField(null=True)
    ballot_count = models.BigIntegerField(default=0)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        db_table = "questions"
        ordering = ["-created_at", "-id"]


class Choice(models.Model):
    id = models.UUIDField(primary_key=True)
    question = models.ForeignKey(Question, models.PROTECT, related_name="choices")
    choice_text = models.TextField()
    position = models.IntegerField()
    votes = models.BigIntegerField(default=0)

    class Meta:
        db_table = "choices"
        ordering = ["position"]


class Ballot(models.Model):
    pk = models.CompositePrimaryKey("question_id", "user_id")
    question = models.ForeignKey(Question, models.PROTECT)
    user = models.ForeignKey(User, models.PROTECT)
    choice = models.ForeignKey(Choice, models.PROTECT)
    cast_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        db_table = "ballots"


class RefreshToken(models.Model):
    token_hash = models.CharField(max_length=64, primary_key=True)
    user = models.ForeignKey(User, models.PROTECT)
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "refresh_tokens"
