/*-------------------------------------------------------------------------
 *
 * external.h
 *	  The output plugin for consumers outside, see external.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CAPTURE_EXTERNAL_H
#define DERIVE_CAPTURE_EXTERNAL_H

#include "replication/output_plugin.h"

/* Messages with such a prefix are pg_derive's own, sent only if a pattern asks for them. */
#define DERIVE_MESSAGE_PREFIX "pg_derive"

/* A message whose content is the snapshot of an initial copy, see option snapshot_marks. */
#define DERIVE_SNAPSHOT_PREFIX "pg_derive.snapshot"

/* Sets the callbacks that serve replication clients and the SQL functions of slots. */
extern void derive_external_callbacks(OutputPluginCallbacks *cb);

#endif /* DERIVE_CAPTURE_EXTERNAL_H */
