/*-------------------------------------------------------------------------
 *
 * lsn.h
 *	  Positions in the write-ahead log that a reader can reach, see lsn.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_BASE_LSN_H
#define DERIVE_BASE_LSN_H

#include "access/xlogdefs.h"

extern XLogRecPtr derive_lsn_reachable(XLogRecPtr lsn);

#endif /* DERIVE_BASE_LSN_H */
