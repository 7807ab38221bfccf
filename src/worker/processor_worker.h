/*-------------------------------------------------------------------------
 *
 * processor_worker.h
 *	  The worker that runs the handlers of processors, see processor_worker.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_WORKER_PROCESSOR_WORKER_H
#define DERIVE_WORKER_PROCESSOR_WORKER_H

#include "shared/pipeline.h"

extern PGDLLEXPORT void derive_processor_worker_main(Datum arg);

/*
 * For the applier: starts the worker if it is wanted and not there.  Returns after how many
 * ms to look again, at the latest.
 */
extern long derive_processor_worker_tend(Pipeline *pipeline, bool wanted);

#endif /* DERIVE_WORKER_PROCESSOR_WORKER_H */
