"""What WhatsApp writes into exported chats, in the languages of phones: marks of deleted and edited messages, files."""

from __future__ import annotations


def _texts(listed: str) -> frozenset[str]:
    return frozenset(text.strip().casefold() for text in listed.split("|"))


AFTERNOON = _texts("pm|p|pmu|م|下午|오후|午後|अपराह्न|μμ|ptg|ch|ös|nachm|du|ip|em|odp|sd")
MORNING = _texts("am|a|amu|ص|上午|오전|午前|पूर्वाह्न|πμ|pg|sa|öö|vorm|de|ap|fm|dop")
DELETED_TEXTS = _texts("""
    This message was deleted|You deleted this message|Message deleted|This message has been deleted|
    Diese Nachricht wurde gelöscht|Du hast diese Nachricht gelöscht|Nachricht gelöscht|Se eliminó este mensaje|
    Eliminaste este mensaje|Este mensaje fue eliminado|Este mensaje se eliminó|Has eliminado este mensaje|
    Borraste este mensaje|Ce message a été supprimé|Vous avez supprimé ce message|Message supprimé|
    Questo messaggio è stato eliminato|Hai eliminato questo messaggio|Messaggio eliminato|Mensagem apagada|
    Você apagou esta mensagem|Essa mensagem foi apagada|Esta mensagem foi apagada|Esta mensagem foi eliminada|
    Eliminou esta mensagem|Apagou esta mensagem|Mensagem eliminada|Dit bericht is verwijderd|
    Je hebt dit bericht verwijderd|U hebt dit bericht verwijderd|Ta wiadomość została usunięta|
    Wiadomość usunięta|Usunięto tę wiadomość|Usunąłeś tę wiadomość|Данное сообщение удалено|Сообщение удалено|
    Вы удалили данное сообщение|Это сообщение удалено|Bu mesaj silindi|Bu mesajı sildiniz|
    Det här meddelandet raderades|Detta meddelande raderades|Du raderade det här meddelandet|
    Denne meldingen ble slettet|Denne besked blev slettet|Tämä viesti poistettiin|Tato zpráva byla odstraněna|
    Tato zpráva byla smazána|Ezt az üzenetet törölték|Acest mesaj a fost șters|Αυτό το μήνυμα διαγράφηκε|
    Це повідомлення видалено|Pesan ini telah dihapus|Anda menghapus pesan ini|Mesej ini telah dipadam|
    Tin nhắn này đã bị xóa|ข้อความนี้ถูกลบแล้ว|このメッセージは削除されました|このメッセージを削除しました|
    メッセージを削除しました|此消息已被删除|此消息已删除|您已删除此消息|您删除了此消息|此訊息已刪除|
    這則訊息已刪除|您已刪除此訊息|您已收回這則訊息|삭제된 메시지입니다|이 메시지는 삭제되었습니다|
    메시지를 삭제했습니다|تم حذف هذه الرسالة|لقد حذفت هذه الرسالة|ההודעה נמחקה|הודעה זו נמחקה|
    यह मैसेज मिटाया गया|यह संदेश हटा दिया गया|आपने यह मैसेज मिटाया
""")
EDITED = (
    "edited|bearbeitet|editó|editado|editada|modifié|modificato|modificado|bewerkt|"
    "edytowan|изменен|отредактирован|düzenlendi|redigera|redigert|redigeret|muokat|"
    "upraven|szerkeszt|editat|επεξεργα|відредагован|diedit|chỉnh sửa|แก้ไข|編集|编辑|編輯|"
    "수정|편집|تعديل|נערכה|संपादित|एडिट"
)
ATTACHED = _texts("""
    file attached|datei angehängt|archivo adjunto|fichier joint|file allegato|arquivo anexado|ficheiro anexado|
    bestand bijgevoegd|plik dołączony|załączono plik|файл добавлен|файл прикреплен|dosya ekli|dosya eklendi|
    fil bifogad|bifogad fil|fil vedlagt|fil vedhæftet|liitetty tiedosto|soubor přiložen|csatolt fájl|
    fişier ataşat|fișier atașat|επισυνάφθηκε αρχείο|файл додано|file terlampir|fail dilampirkan|
    tập tin đính kèm|ไฟล์ที่แนบมา|ファイル添付|添付ファイル|文件附件|附件文件|檔案附件|附件檔案|附加檔案|
    파일 첨부됨|첨부 파일|الملف مرفق|ملف مرفق|הקובץ צורף|फ़ाइल संलग्न
""")
MEDIA = _texts("""
    null|    Missed voice call|Missed video call|Missed group voice call|Missed group video call|Verpasster Sprachanruf|
    Verpasster Videoanruf|Llamada perdida|Llamada de voz perdida|Videollamada perdida|Appel vocal manqué|
    Appel vidéo manqué|Chiamata vocale persa|Videochiamata persa|Chamada de voz perdida|
    Chamada de vídeo perdida|Ligação de voz perdida|Ligação de vídeo perdida|Gemiste spraakoproep|
    Gemiste video-oproep|Nieodebrane połączenie głosowe|Пропущенный аудиозвонок|Пропущенный видеозвонок|
    Live location shared|image omitted|video omitted|audio omitted|sticker omitted|GIF omitted|
    document omitted|Contact card omitted|Video note omitted|Bild weggelassen|Video weggelassen|
    Audio weggelassen|Sticker weggelassen|Dokument weggelassen|imagen omitida|video omitido|audio omitido|
    image absente|vidéo absente|audio omis|immagine omessa|video omesso|audio omesso|imagem ocultada|
    vídeo oculto|áudio ocultado|afbeelding weggelaten|video weggelaten|audio weggelaten
""")
