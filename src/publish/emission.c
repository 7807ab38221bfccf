/*-------------------------------------------------------------------------
 *
 * emission.c
 *	  Events without a table, as logical messages.
 *
 * derive.emit checks the caller's rights and writes a transactional logical message, so
 * that the event is there if the transaction commits and never otherwise.  But
 * whoever may call pg_logical_emit_message could write the same.  So a message begins
 * with its HMAC-SHA-256 under a key that only the extension can read, and one
 * without is ignored.
 *
 * A message: the HMAC of what follows; outbox (8 bytes), "has an id" (1), id (16), then
 * topic, key and payload, each ended by a zero byte and begun by 1, or 0 for NULL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/compat.h"
#include "change/message.h"
#include "common/hmac.h"
#include "common/sha2.h"
#include "lib/stringinfo.h"
#include "publish/emission.h"
#include "replication/message.h"

#define MAC_LEN PG_SHA256_DIGEST_LENGTH
#define FIXED_LEN (MAC_LEN + sizeof(int64) + 1 + UUID_LEN)

/* Computes the code of a message's content. */
static void
compute_mac(const char *content, Size len, struct varlena *secret, uint8 *mac)
{
	pg_hmac_ctx *ctx = pg_hmac_create(PG_SHA256);

	if (ctx == NULL ||
		pg_hmac_init(ctx, (uint8 *) VARDATA_ANY(secret), VARSIZE_ANY_EXHDR(secret)) < 0 ||
		pg_hmac_update(ctx, (const uint8 *) content, len) < 0 ||
		pg_hmac_final(ctx, mac, MAC_LEN) < 0)
		elog(ERROR, "could not compute the code of an emission");
	pg_hmac_free(ctx);
}

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
derive_emission_send(const Emission *emission, struct varlena *secret)
{
	StringInfoData message;
	char no_mac[MAC_LEN] = {0};

	initStringInfo(&message);
	appendBinaryStringInfo(&message, no_mac, MAC_LEN);
	appendBinaryStringInfo(&message, (const char *) &emission->outbox, sizeof(int64));
	appendStringInfoCharMacro(&message, emission->has_id);
	appendBinaryStringInfo(&message, (const char *) emission->id.data, UUID_LEN);
	put_text(&message, emission->topic);
	put_text(&message, emission->key);
	put_text(&message, emission->payload);
	compute_mac(message.data + MAC_LEN, message.len - MAC_LEN, secret,
				(uint8 *) message.data);
	derive_compat_log_message(DERIVE_MESSAGE_EMIT, message.data, message.len, true);
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

bool
derive_emission_read(const char *content, Size len, struct varlena *secret,
					 Emission *emission)
{
	const char *from = content + MAC_LEN;
	uint8 mac[MAC_LEN];

	if (len < FIXED_LEN)
		return false;
	compute_mac(from, len - MAC_LEN, secret, mac);
	if (memcmp(mac, content, MAC_LEN) != 0)
		return false;
	memcpy(&emission->outbox, from, sizeof(int64));
	from += sizeof(int64);
	emission->has_id = *from++;
	memcpy(emission->id.data, from, UUID_LEN);
	from += UUID_LEN;
	emission->topic = get_text(&from);
	emission->key = get_text(&from);
	emission->payload = get_text(&from);
	return true;
}
