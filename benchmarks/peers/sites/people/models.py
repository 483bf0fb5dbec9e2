from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models


class User(AbstractBaseUser):
    """A user with a phone. Without groups, so that its table needs no migration after those of Django's users."""

    username = models.CharField(max_length=150, unique=True)
    mobile = models.CharField(max_length=20, unique=True)
    email = models.EmailField()
    is_active = models.BooleanField(default=True)

    objects = BaseUserManager()
    USERNAME_FIELD = "username"
