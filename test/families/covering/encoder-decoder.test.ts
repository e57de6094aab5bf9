import { describeCovering } from '../../support/covering-tests.js';

describeCovering(['encoder-decoder']);
