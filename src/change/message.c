/*-------------------------------------------------------------------------
 *
 * message.c
 *	  Logical messages that nobody else can make.
 *
 * SQL functions speak to the workers by transactional messages in the log: what they say is
 * true if the transaction commits, and comes in the order of commits.  But whoever may
 * call pg_logical_emit_message could write the same.  So a message begins with the HMAC-SHA-256
 * of its prefix, its transaction and its content, under a key that only the extension can
 * read; the decoder leaves out what has none.  The transaction is in it, so that a message
 * which somebody has read in the log is of no use in another one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "change/message.h"

#include "access/xact.h"
#include "base/compat.h"
#include "common/hmac.h"
#include "common/sha2.h"
#include "lib/stringinfo.h"
#include "replication/message.h"

#define MAC_LEN PG_SHA256_DIGEST_LENGTH

/* More does not fit into what an event is made of, and all of it is in memory several times. */
#define MAX_CONTENT (256 * 1024 * 1024)

/* Computes the code of a message. */
static void
compute_mac(const char *prefix, TransactionId xid, const char *content, Size len,
			const uint8 *secret, uint8 *mac)
{
	pg_hmac_ctx *ctx = pg_hmac_create(PG_SHA256);

	if (ctx == NULL || pg_hmac_init(ctx, secret, DERIVE_SECRET_LEN) < 0 ||
		pg_hmac_update(ctx, (const uint8 *) prefix, strlen(prefix) + 1) < 0 ||
		pg_hmac_update(ctx, (const uint8 *) &xid, sizeof(xid)) < 0 ||
		pg_hmac_update(ctx, (const uint8 *) content, len) < 0 ||
		pg_hmac_final(ctx, mac, MAC_LEN) < 0)
		elog(ERROR, "could not compute the code of a message");
	pg_hmac_free(ctx);
}

XLogRecPtr
derive_message_send(const char *prefix, const char *content, Size len,
					const uint8 *secret)
{
	StringInfoData message;
	uint8 mac[MAC_LEN];
	XLogRecPtr place;

	if (len > MAX_CONTENT)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED), errmsg("an event is too large"),
				 errdetail("It takes %zu bytes of at most %d.", len, MAX_CONTENT)));
	compute_mac(prefix, GetTopTransactionId(), content, len, secret, mac);
	initStringInfo(&message);
	appendBinaryStringInfo(&message, (const char *) mac, MAC_LEN);
	appendBinaryStringInfo(&message, content, len);
	place = derive_compat_log_message(prefix, message.data, message.len, true);
	pfree(message.data);
	return place;
}

const char *
derive_message_open(const char *prefix, TransactionId xid, const char *message, Size *len,
					const uint8 *secret)
{
	const char *content = message + MAC_LEN;
	uint8 mac[MAC_LEN];

	if (*len < MAC_LEN || *len > MAC_LEN + MAX_CONTENT)
		return NULL;
	compute_mac(prefix, xid, content, *len - MAC_LEN, secret, mac);
	if (memcmp(mac, message, MAC_LEN) != 0)
		return NULL;
	*len -= MAC_LEN;
	return content;
}
