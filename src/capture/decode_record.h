/*-------------------------------------------------------------------------
 *
 * decode_record.h
 *	  One record of the log, also before decoding can start, see decode_record.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CAPTURE_DECODE_RECORD_H
#define DERIVE_CAPTURE_DECODE_RECORD_H

#include "replication/logical.h"

/* Decodes the record that the context's reader has just read. */
extern void derive_decode_record(LogicalDecodingContext *ctx);

#endif /* DERIVE_CAPTURE_DECODE_RECORD_H */
