from rest_framework import serializers

from .models import Choice, Question, User


class Author(serializers.ModelSerializer):
    class Meta:
        model = User
        fields = ["id", "name"]


class ChoiceOfQuestion(serializers.ModelSerializer):
    class Meta:
        model = Choice
        fields = ["id", "choice_text", "position", "votes"]


class QuestionWithChoices(serializers.ModelSerializer):
    author = Author()
    choices = ChoiceOfQuestion(many=True)
    min_choices = serializers.ReadOnlyField(default=1)
    max_choices = serializers.ReadOnlyField(default=1)
    allow_change = serializers.ReadOnlyField(default=True)
    results_visibility = serializers.ReadOnlyField(default="always")
    status = serializers.SerializerMethodField()
    revision = serializers.ReadOnlyField(default=1)

    class Meta:
        model = Question
        fields = [
            "id", "question_text", "author", "choices", "min_choices", "max_choices",
            "allow_change", "results_visibility", "status", "ballot_count", "revision",
            "created_at", "updated_at",
        ]

    def get_status(self, question):
        return "closed" if question.closed_at else "open"


class NewBallot(serializers.Serializer):
    choice_ids = serializers.ListField(
        child=serializers.UUIDField(), min_length=1, max_length=1
    )


class SignIn(serializers.Serializer):
    grant_type = serializers.ChoiceField(["password"])
    username = serializers.CharField()
    password = serializers.CharField(trim_whitespace=False)
