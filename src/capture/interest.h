/*-------------------------------------------------------------------------
 *
 * interest.h
 *	  The set of relations and columns that some view reads, as bytes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CAPTURE_INTEREST_H
#define DERIVE_CAPTURE_INTEREST_H

#include "change/layout.h"
#include "lib/stringinfo.h"

/* Appends a list of InterestItem as bytes. */
extern void derive_interest_write(StringInfo to, List *interest);

/* Makes the list out of these bytes, in CurrentMemoryContext. */
extern List *derive_interest_read(const char *data);

#endif /* DERIVE_CAPTURE_INTEREST_H */
