/*-------------------------------------------------------------------------
 *
 * external_options.h
 *	  The output plugin's options for consumers outside, see external_options.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CAPTURE_EXTERNAL_OPTIONS_H
#define DERIVE_CAPTURE_EXTERNAL_OPTIONS_H

#include "change/text_options.h"

/*
 * Fills options out of a list of DefElem, in CurrentMemoryContext.  ereports what is
 * unknown or wrong, with a hint of what is valid.
 */
extern void derive_external_read_options(List *given, TextOptions *options);

#endif /* DERIVE_CAPTURE_EXTERNAL_OPTIONS_H */
