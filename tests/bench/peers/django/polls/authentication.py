from types import SimpleNamespace
from uuid import UUID

import jwt
from django.conf import settings
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed


class BearerToken(BaseAuthentication):
    def authenticate(self, request):
        scheme, _, token = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        try:
            claims = jwt.decode(
                token, settings.SECRET_KEY, algorithms=["HS256"], audience="polls", issuer="polls"
            )
        except jwt.InvalidTokenError as error:
            raise AuthenticationFailed from error
        return SimpleNamespace(id=UUID(claims["sub"]), is_authenticated=True), token

    def authenticate_header(self, request):
        return "Bearer"
