import { describeCovering } from '../../support/covering-tests.js';

describeCovering(['encoder', 'classifier', 'token-classifier', 'image-classifier', 'performer']);
