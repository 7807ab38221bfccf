/*-------------------------------------------------------------------------
 *
 * decoder.h
 *	  The background worker that decodes the write-ahead log, see decoder.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CAPTURE_DECODER_H
#define DERIVE_CAPTURE_DECODER_H

#define DERIVE_DECODER_FUNCTION "derive_decoder_main"
#define DERIVE_DECODER_TYPE "pg_derive decoder"

/* Entry point; arg is the handle of the stream's segment (uint32). */
extern PGDLLEXPORT void derive_decoder_main(Datum arg);

#endif /* DERIVE_CAPTURE_DECODER_H */
