"""The texts of the site's own pages in four languages; phone_verify translates its pages itself.

A larger site uses Django's catalogues (`makemessages`) instead of this table.
"""

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import lazystr
from django.utils.translation import get_language

TEXTS = {
    "en": {
        "site": "Django example",
        "home": "Home",
        "signed_in_as": "Signed in as",
        "sign_out": "Sign out",
        "profile": "Profile",
        "payouts": "Payouts",
        "payouts_link": "Payouts (requires a recent check)",
        "vault": "Vault",
        "vault_link": "Vault (requires two-factor)",
        "vault_lead": "You signed in with a second factor.",
        "not_signed_in": "You're not signed in.",
        "sign_in": "Sign in with your phone",
        "number_verified": "Your number was just verified:",
        "your_number": "Your number is",
        "named_number": ", your number is",
        "save": "Save",
        "your_name": "Your name",
        "second_factor": "Second factor",
        "second_phone": "Second phone",
        "no_second_phone": "You haven't added a second phone.",
        "add_second_phone": "Add a second phone",
        "verify_link": "Verify or change your number",
        "second_phone_lead": "Enter a second phone number, then the code we send to it.",
        "second_number": "Second phone number",
        "phone": "Phone",
        "code": "Code",
        "send_code": "Send code",
        "confirm": "Confirm",
        "continue": "Continue",
        "already_second": "This phone is already your second factor.",
        "too_many": "Too many attempts. Wait a few seconds and try again.",
        "incorrect_code": "Incorrect code.",
        "language": "Language",
        "not_found": "Page not found",
        "not_found_lead": "There is nothing at this address.",
        "admin": "Admin",
    },
    "fa": {
        "site": "نمونهٔ Django",
        "home": "خانه",
        "signed_in_as": "وارد شده‌اید با شماره",
        "sign_out": "خروج",
        "profile": "پروفایل",
        "payouts": "برداشت وجه",
        "payouts_link": "برداشت وجه (نیازمند تأیید تازهٔ شماره)",
        "vault": "گاوصندوق",
        "vault_link": "گاوصندوق (نیازمند ورود دومرحله‌ای)",
        "vault_lead": "با مرحلهٔ دوم وارد شده‌اید.",
        "not_signed_in": "وارد نشده‌اید.",
        "sign_in": "ورود با شمارهٔ موبایل",
        "number_verified": "شمارهٔ شما هم‌اکنون تأیید شد:",
        "your_number": "شمارهٔ شما:",
        "named_number": "، شمارهٔ شما:",
        "save": "ذخیره",
        "your_name": "نام شما",
        "second_factor": "مرحلهٔ دوم ورود",
        "second_phone": "گوشی دوم",
        "no_second_phone": "هنوز گوشی دومی نیفزوده‌اید.",
        "add_second_phone": "افزودن گوشی دوم",
        "verify_link": "تأیید یا تغییر شماره",
        "second_phone_lead": "شمارهٔ گوشی دوم را وارد کنید و سپس کدی را که به آن می‌فرستیم.",
        "second_number": "شمارهٔ گوشی دوم",
        "phone": "گوشی",
        "code": "کد",
        "send_code": "ارسال کد",
        "confirm": "تأیید",
        "continue": "ادامه",
        "already_second": "این گوشی هم‌اکنون مرحلهٔ دوم ورود شماست.",
        "too_many": "تلاش‌های زیادی انجام شد. چند ثانیه صبر کنید و دوباره امتحان کنید.",
        "incorrect_code": "کد نادرست است.",
        "language": "زبان",
        "not_found": "صفحه پیدا نشد",
        "not_found_lead": "چیزی در این نشانی نیست.",
        "admin": "مدیریت",
    },
    "ru": {
        "site": "Пример на Django",
        "home": "Главная",
        "signed_in_as": "Вы вошли как",
        "sign_out": "Выйти",
        "profile": "Профиль",
        "payouts": "Выплаты",
        "payouts_link": "Выплаты (нужна недавняя проверка номера)",
        "vault": "Хранилище",
        "vault_link": "Хранилище (нужен второй фактор)",
        "vault_lead": "Вы вошли со вторым фактором.",
        "not_signed_in": "Вы не вошли.",
        "sign_in": "Войти по номеру телефона",
        "number_verified": "Ваш номер только что подтверждён:",
        "your_number": "Ваш номер:",
        "named_number": ", ваш номер:",
        "save": "Сохранить",
        "your_name": "Ваше имя",
        "second_factor": "Второй фактор",
        "second_phone": "Второй телефон",
        "no_second_phone": "Вы ещё не добавили второй телефон.",
        "add_second_phone": "Добавить второй телефон",
        "verify_link": "Подтвердить или изменить номер",
        "second_phone_lead": "Введите номер второго телефона, а затем код, который мы на него отправим.",
        "second_number": "Номер второго телефона",
        "phone": "Телефон",
        "code": "Код",
        "send_code": "Отправить код",
        "confirm": "Подтвердить",
        "continue": "Продолжить",
        "already_second": "Этот телефон уже используется как второй фактор.",
        "too_many": "Слишком много попыток. Подождите несколько секунд и попробуйте снова.",
        "incorrect_code": "Неверный код.",
        "language": "Язык",
        "not_found": "Страница не найдена",
        "not_found_lead": "По этому адресу ничего нет.",
        "admin": "Администрирование",
    },
    "ar": {
        "site": "مثال Django",
        "home": "الرئيسية",
        "signed_in_as": "تم تسجيل دخولك بالرقم",
        "sign_out": "تسجيل الخروج",
        "profile": "الملف الشخصي",
        "payouts": "سحب الأموال",
        "payouts_link": "سحب الأموال (يتطلب تحققًا حديثًا)",
        "vault": "الخزنة",
        "vault_link": "الخزنة (تتطلب المصادقة الثنائية)",
        "vault_lead": "سجّلت الدخول بالعامل الثاني.",
        "not_signed_in": "لم تسجّل الدخول.",
        "sign_in": "تسجيل الدخول برقم الهاتف",
        "number_verified": "تم التحقق من رقمك للتو:",
        "your_number": "رقمك:",
        "named_number": "، رقمك:",
        "save": "حفظ",
        "your_name": "اسمك",
        "second_factor": "العامل الثاني",
        "second_phone": "الهاتف الثاني",
        "no_second_phone": "لم تُضف هاتفًا ثانيًا بعد.",
        "add_second_phone": "إضافة هاتف ثانٍ",
        "verify_link": "التحقق من رقمك أو تغييره",
        "second_phone_lead": "أدخل رقم هاتف ثانيًا، ثم الرمز الذي نرسله إليه.",
        "second_number": "رقم الهاتف الثاني",
        "phone": "الهاتف",
        "code": "الرمز",
        "send_code": "إرسال الرمز",
        "confirm": "تأكيد",
        "continue": "متابعة",
        "already_second": "هذا الهاتف هو عاملك الثاني بالفعل.",
        "too_many": "محاولات كثيرة. انتظر بضع ثوانٍ ثم حاول مجددًا.",
        "incorrect_code": "رمز غير صحيح.",
        "language": "اللغة",
        "not_found": "الصفحة غير موجودة",
        "not_found_lead": "لا يوجد شيء في هذا العنوان.",
        "admin": "الإدارة",
    },
}


def texts() -> dict[str, str]:
    """Return the texts in the language of this request."""
    return TEXTS.get((get_language() or "en").partition("-")[0], TEXTS["en"])


class LazyText:
    """A text that is looked up when it is shown: forms are defined before any request."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return texts()[self.name]


def lazy_text(name: str) -> str:
    """Return a text of forms."""
    return lazystr(LazyText(name))


def in_templates(request: HttpRequest) -> dict[str, object]:
    """Return the variables of all templates: the texts, and each language's own name (a context processor)."""
    return {"t": texts(), "language_names": settings.LANGUAGES}
