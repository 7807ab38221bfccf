/*-------------------------------------------------------------------------
 *
 * plugin.h
 *	  The output plugin, see plugin.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CAPTURE_PLUGIN_H
#define DERIVE_CAPTURE_PLUGIN_H

#include "capture/partition_watch.h"
#include "capture/queue.h"
#include "capture/relation_map.h"
#include "replication/logical.h"

#define DERIVE_PLUGIN_NAME "pg_derive"

/*
 * Makes this process a decoder of our own, whose changes go to queue; secret: by which our
 * messages are known.
 */
extern void derive_plugin_use(DecoderQueue *queue, RelationMap *map,
							  PartitionWatch *watch, const uint8 *secret);

extern void derive_plugin_report_statistics(LogicalDecodingContext *ctx);

#endif /* DERIVE_CAPTURE_PLUGIN_H */
