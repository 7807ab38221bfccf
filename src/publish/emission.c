/*-------------------------------------------------------------------------
 *
 * emission.c
 *	  Events without a table, as logical messages.
 *
 * derive.emit checks the caller's rights and writes a message that nobody else can make
 * (change/message.c), so that the event is there if the transaction commits and never otherwise.
 *
 * A message: outbox (8 bytes), "has an id" (1), id (16), then topic, key and payload, each
 * ended by a zero byte and begun by 1, or 0 for NULL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "publish/emission.h"

#include "change/message.h"
#include "lib/stringinfo.h"

/* Appends a text or NULL. */
static void
put_text(StringInfo to, const char *text)
{
	appendStringInfoCharMacro(to, text != NULL);
	if (text != NULL)
		appendBinaryStringInfo(to, text, strlen(text));
	appendStringInfoCharMacro(to, '\0');
}

void
derive_emission_send(const Emission *emission, const uint8 *secret)
{
	StringInfoData message;

	initStringInfo(&message);
	appendBinaryStringInfo(&message, (const char *) &emission->outbox, sizeof(int64));
	appendStringInfoCharMacro(&message, emission->has_id);
	appendBinaryStringInfo(&message, (const char *) emission->id.data, UUID_LEN);
	put_text(&message, emission->topic);
	put_text(&message, emission->key);
	put_text(&message, emission->payload);
	(void) derive_message_send(DERIVE_MESSAGE_EMIT, message.data, message.len, secret);
	pfree(message.data);
}

/* Reads a text or NULL and moves on. */
static char *
get_text(const char **from)
{
	bool there = **from;
	char *text = unconstify(char *, *from + 1);

	*from += strlen(text) + 2;
	return there ? text : NULL;
}

void
derive_emission_read(const char *content, Emission *emission)
{
	const char *from = content;

	memcpy(&emission->outbox, from, sizeof(int64));
	from += sizeof(int64);
	emission->has_id = *from++;
	memcpy(emission->id.data, from, UUID_LEN);
	from += UUID_LEN;
	emission->topic = get_text(&from);
	emission->key = get_text(&from);
	emission->payload = get_text(&from);
}
