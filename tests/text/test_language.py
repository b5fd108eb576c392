import pytest

from inhouse.text.language import language


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("You can open the account at our branch.", "en"),
        ("Sie können das Konto bei uns eröffnen, es ist nicht teuer.", "de"),
        ("Vous pouvez ouvrir un compte dans notre agence pour une heure.", "fr"),
        ("Usted puede abrir una cuenta en nuestro banco y es gratis.", "es"),
        ("お口座を開設できます", "ja"),
        ("Вы можете открыть счёт", "ru"),
        ("您可以开户", "zh"),
        ("Miller, 42", ""),
        ("", ""),
    ],
)
def test_language_is_known_by_script_or_frequent_words(text, code):
    assert language(text) == code
