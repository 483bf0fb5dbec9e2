"""An OAuth client that signs users in by their number; on if OAUTH_CLIENT=id:secret is set."""

from django.http import JsonResponse
from oauth2_provider.decorators import protected_resource
from oauth2_provider.models import get_application_model

from phone_verify_django.accounts import phone_of


@protected_resource(scopes=["profile"])
def me(request):
    """Return the number of the token's user."""
    return JsonResponse({"phone": phone_of(request.resource_owner)})


def put_client(client: str) -> None:
    """Store the client, written as `id:secret`, in place of an earlier one with this id."""
    id, secret = client.split(":", 1)
    application = get_application_model()
    application.objects.update_or_create(
        client_id=id,
        defaults={
            "client_secret": secret,
            "client_type": application.CLIENT_CONFIDENTIAL,
            "authorization_grant_type": application.GRANT_CLIENT_CREDENTIALS,
        },
    )
