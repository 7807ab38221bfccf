/*-------------------------------------------------------------------------
 *
 * processor.h
 *	  Calling the handlers of processors, see processor.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PUBLISH_PROCESSOR_H
#define DERIVE_PUBLISH_PROCESSOR_H

#include "catalog/processor_catalog.h"
#include "datatype/timestamp.h"

typedef struct Processor Processor;

/* Makes a processor of its row, which it keeps, in CurrentMemoryContext. */
extern Processor *derive_processor_make(const CatalogProcessor *row);
extern void derive_processor_free(Processor *processor);

/*
 * Outside a transaction: handles some of the events that there are, in transactions of its
 * own.  Returns true if there may be more; else look_at: when a failed one is due, or 0.
 * Throws for what is no handler's fault; what it allocates is in CurrentMemoryContext.
 */
extern bool derive_processor_run(Processor *processor, TimestampTz *look_at);

/* The statement that calls a handler: $1 op, $2 old, $3 new, $4 headers. */
extern char *derive_processor_call(Oid handler);

#endif /* DERIVE_PUBLISH_PROCESSOR_H */
