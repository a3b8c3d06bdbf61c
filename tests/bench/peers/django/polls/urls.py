from django.http import JsonResponse
from django.urls import path

from . import views

urlpatterns = [
    path("healthz", lambda request: JsonResponse({"status": "ok"})),
    path("api/v1/questions", views.QuestionList.as_view()),
    path("api/v1/questions/<uuid:pk>", views.QuestionDetail.as_view()),
    path("api/v1/questions/<uuid:pk>/ballot", views.Vote.as_view()),
    path("api/v1/auth/token", views.SignIn.as_view()),
]
