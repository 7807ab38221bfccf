/*-------------------------------------------------------------------------
 *
 * request_id.c
 *	  The id of the request that a transaction serves, pg_derive.request_id.
 *
 * A transaction has one: the setting's value when it commits, or is prepared.  If it has
 * written to the log by then, a transactional logical message of its top-level
 * transaction says so, as the last thing before its commit record.  So it costs those who
 * do not use it one test of a pointer; a transaction that changed nothing stays without
 * a transaction id; and what subtransactions set and took back does not count.  Who
 * decodes the log looks for it at the end of the transaction before its changes.
 *
 * Anybody may write such a message, as anybody may set the setting: it tells what the
 * client said, and readers check that it is an id.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/request_id.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "base/compat.h"

char *derive_request_id = NULL;

bool
derive_request_id_valid(const char *text, Size len)
{
	if (len == 0 || len > DERIVE_REQUEST_ID_MAX)
		return false;
	for (Size i = 0; i < len; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	return true;
}

bool
derive_request_id_check(char **value, void **extra, GucSource source)
{
	if (*value == NULL || **value == '\0' ||
		derive_request_id_valid(*value, strlen(*value)))
		return true;
	GUC_check_errdetail("A request id has up to %d printable ASCII characters.",
						DERIVE_REQUEST_ID_MAX);
	return false;
}

void
derive_request_id_log(void)
{
	if (derive_request_id == NULL || derive_request_id[0] == '\0')
		return;
	if (!TransactionIdIsValid(GetTopTransactionIdIfAny()) ||
		XLogRecPtrIsInvalid(XactLastRecEnd) || !XLogLogicalInfoActive())
		return;
	(void) derive_compat_log_message(DERIVE_MESSAGE_REQUEST, derive_request_id,
									 strlen(derive_request_id), true);
}
