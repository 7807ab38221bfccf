/*-------------------------------------------------------------------------
 *
 * request.c
 *	  The request that a decoded transaction serves.
 *
 * The message (base/request_id.c) is the last thing that a transaction writes before its
 * commit record, unless another extension's callback writes more, so it is looked for in the
 * last few of its changes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "change/request.h"

#define LAST_CHANGES 8

void
derive_request_read(RequestId *request, const char *content, Size len)
{
	if (!derive_request_id_valid(content, len))
		return;
	memcpy(request->text, content, len);
	request->text[len] = '\0';
	request->len = len;
}

bool
derive_request_find(ReorderBufferTXN *txn, RequestId *request)
{
	dlist_iter iter;
	int left = LAST_CHANGES;

	request->len = 0;
	dlist_reverse_foreach(iter, &txn->changes)
	{
		ReorderBufferChange *change = dlist_container(ReorderBufferChange, node,
													  iter.cur);

		if (left-- == 0)
			return true;
		if (change->action != REORDER_BUFFER_CHANGE_MESSAGE ||
			strcmp(change->data.msg.prefix, DERIVE_MESSAGE_REQUEST) != 0)
			continue;
		derive_request_read(request, change->data.msg.message,
							change->data.msg.message_size);
		return true;
	}
	return !rbtxn_is_serialized(txn);
}
