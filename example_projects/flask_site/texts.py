"""The texts of the site's own pages in four languages; phone_verify translates its pages itself.

A larger site uses Flask-Babel, whose language the pages of phone_verify follow.
"""

import re

from flask import Blueprint, redirect, request

COOKIE = "language"
NAMES = {"en": "English", "fa": "فارسی", "ru": "Русский", "ar": "العربية"}
RIGHT_TO_LEFT = {"fa", "ar"}
TEXTS = {
    "en": {
        "site": "Flask example",
        "home": "Home",
        "signed_in_as": "Signed in as",
        "sign_out": "Sign out",
        "profile": "Profile",
        "members": "For members",
        "members_only": "Members only.",
        "payouts": "Payouts",
        "payouts_link": "Payouts (requires a recent check)",
        "not_signed_in": "You're not signed in.",
        "sign_in": "Sign in with your phone",
        "just_now": "Your number was verified just now.",
        "minutes_ago": "Your number was verified {minutes} min ago.",
        "asked_again": "You'll be asked again after five minutes.",
        "your_number": "Your number is",
        "verify_link": "Verify or change your number",
        "language": "Language",
        "not_found": "Page not found",
        "not_found_lead": "There is nothing at this address.",
    },
    "fa": {
        "site": "نمونهٔ Flask",
        "home": "خانه",
        "signed_in_as": "وارد شده‌اید با شماره",
        "sign_out": "خروج",
        "profile": "پروفایل",
        "members": "ویژهٔ اعضا",
        "members_only": "این صفحه فقط برای اعضاست.",
        "payouts": "برداشت وجه",
        "payouts_link": "برداشت وجه (نیازمند تأیید تازهٔ شماره)",
        "not_signed_in": "وارد نشده‌اید.",
        "sign_in": "ورود با شمارهٔ موبایل",
        "just_now": "شمارهٔ شما همین حالا تأیید شد.",
        "minutes_ago": "شمارهٔ شما {minutes} دقیقه پیش تأیید شد.",
        "asked_again": "پس از پنج دقیقه دوباره از شما خواسته می‌شود.",
        "your_number": "شمارهٔ شما:",
        "verify_link": "تأیید یا تغییر شماره",
        "language": "زبان",
        "not_found": "صفحه پیدا نشد",
        "not_found_lead": "چیزی در این نشانی نیست.",
    },
    "ru": {
        "site": "Пример на Flask",
        "home": "Главная",
        "signed_in_as": "Вы вошли как",
        "sign_out": "Выйти",
        "profile": "Профиль",
        "members": "Для участников",
        "members_only": "Эта страница только для участников.",
        "payouts": "Выплаты",
        "payouts_link": "Выплаты (нужна недавняя проверка номера)",
        "not_signed_in": "Вы не вошли.",
        "sign_in": "Войти по номеру телефона",
        "just_now": "Ваш номер подтверждён только что.",
        "minutes_ago": "Ваш номер подтверждён {minutes} мин назад.",
        "asked_again": "Через пять минут потребуется новая проверка.",
        "your_number": "Ваш номер:",
        "verify_link": "Подтвердить или изменить номер",
        "language": "Язык",
        "not_found": "Страница не найдена",
        "not_found_lead": "По этому адресу ничего нет.",
    },
    "ar": {
        "site": "مثال Flask",
        "home": "الرئيسية",
        "signed_in_as": "تم تسجيل دخولك بالرقم",
        "sign_out": "تسجيل الخروج",
        "profile": "الملف الشخصي",
        "members": "للأعضاء",
        "members_only": "هذه الصفحة للأعضاء فقط.",
        "payouts": "سحب الأموال",
        "payouts_link": "سحب الأموال (يتطلب تحققًا حديثًا)",
        "not_signed_in": "لم تسجّل الدخول.",
        "sign_in": "تسجيل الدخول برقم الهاتف",
        "just_now": "تم التحقق من رقمك للتو.",
        "minutes_ago": "تم التحقق من رقمك قبل {minutes} دقيقة.",
        "asked_again": "سيُطلب منك التحقق مجددًا بعد خمس دقائق.",
        "your_number": "رقمك:",
        "verify_link": "التحقق من رقمك أو تغييره",
        "language": "اللغة",
        "not_found": "الصفحة غير موجودة",
        "not_found_lead": "لا يوجد شيء في هذا العنوان.",
    },
}

language = Blueprint("language", __name__)


@language.before_app_request
def use_chosen_language():
    """Let the language in our cookie take the place of the browser's, for phone_verify's pages too."""
    if (chosen := request.cookies.get(COOKIE)) in NAMES:
        request.environ["HTTP_ACCEPT_LANGUAGE"] = chosen


@language.post("/language")
def choose():
    """Keep the chosen language and return to the page."""
    target = request.form.get("next", "")
    response = redirect(target if re.match(r"/(?![/\\])", target) else "/")
    if (chosen := request.form.get("language")) in NAMES:
        response.set_cookie(COOKIE, chosen, max_age=365 * 24 * 3600, samesite="Lax")
    return response


@language.app_context_processor
def in_templates():
    """Return the variables of all templates: the texts, and the language of the page."""
    tag = request.accept_languages.best_match(list(NAMES), "en")
    return {
        "t": TEXTS[tag],
        "language_tag": tag,
        "direction": "rtl" if tag in RIGHT_TO_LEFT else "ltr",
        "language_names": NAMES,
        "here": request.full_path.rstrip("?"),
    }
